"""What depends on the direction of each hkl: preferred orientation and the size of anisotropic crystallites."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.sticks import Sticks

F64 = NDArray[np.float64]


def textured_intensity(sticks: Sticks, augmentations: Augmentations) -> F64:
    """Return intensities (augmentation, stick): over each stick's members, sum share x (r^2 cos^2 + sin^2 / r)^(-3/2).

    The angle is between hkl and the axis, both plane normals (Dollase, J. Appl. Cryst. 19 (1986) 267). The mean over
    the symmetry equivalents of the axis needs no point group: all hkl of a star are members with the same |F|^2, and
    the sum over a star for one axis is the sum over equivalent axes for one hkl.
    """
    out = np.empty((len(augmentations), len(sticks)))
    _weigh(
        sticks.member_hkl,
        sticks.member_intensity,
        sticks.member_start,
        sticks.reciprocal_metric,
        augmentations.march_hkl,
        augmentations.march_r,
        out,
    )
    return out


def size_factors(sticks: Sticks, augmentations: Augmentations) -> F64:
    """Return what multiplies the broadening by size (augmentation, stick): the width of crystallites over their length.

    Crystallites are ellipsoids of revolution about the normal of a plane: 1 / L^2 = cos^2 / (ratio S)^2 + sin^2 / S^2
    along hkl. A stick has the mean of 1 / L over its members, each weighted with its share of the intensity.
    """
    out = np.empty((len(augmentations), len(sticks)))
    _elongate(
        sticks.member_hkl,
        sticks.member_intensity,
        sticks.member_start,
        sticks.reciprocal_metric,
        augmentations.size_hkl,
        augmentations.size_ratio,
        out,
    )
    return out


@compiled
def _elongate(
    hkl: NDArray[np.int32],
    share: F64,
    start: NDArray[np.int64],
    metric: F64,
    axes: NDArray[np.int64],
    ratio: F64,
    out: F64,
) -> None:
    v = np.empty(3)
    for a in range(out.shape[0]):
        if ratio[a] == 1.0:
            out[a] = 1.0
            continue
        axis_length2 = 0.0
        for i in range(3):
            v[i] = metric[i, 0] * axes[a, 0] + metric[i, 1] * axes[a, 1] + metric[i, 2] * axes[a, 2]
            axis_length2 += axes[a, i] * v[i]
        for i in range(out.shape[1]):
            total, weight = 0.0, 0.0
            for m in range(start[i], start[i + 1]):
                length2 = 0.0
                for j in range(3):
                    for k in range(3):
                        length2 += metric[j, k] * hkl[m, j] * hkl[m, k]
                along = hkl[m, 0] * v[0] + hkl[m, 1] * v[1] + hkl[m, 2] * v[2]
                cos2 = min(1.0, along * along / (length2 * axis_length2))
                total += share[m] * math.sqrt(cos2 / (ratio[a] * ratio[a]) + 1.0 - cos2)
                weight += share[m]
            out[a, i] = total / weight


@compiled
def _weigh(
    hkl: NDArray[np.int32],
    share: F64,
    start: NDArray[np.int64],
    metric: F64,
    axes: NDArray[np.int64],
    r: F64,
    out: F64,
) -> None:
    length2 = np.empty(share.size)
    v = np.empty(3)
    for m in range(share.size):
        length2[m] = 0.0
        for i in range(3):
            for j in range(3):
                length2[m] += metric[i, j] * hkl[m, i] * hkl[m, j]
    for a in range(out.shape[0]):
        axis_length2 = 0.0
        for i in range(3):
            v[i] = metric[i, 0] * axes[a, 0] + metric[i, 1] * axes[a, 1] + metric[i, 2] * axes[a, 2]
            axis_length2 += axes[a, i] * v[i]
        for i in range(out.shape[1]):
            total = 0.0
            for m in range(start[i], start[i + 1]):
                along = hkl[m, 0] * v[0] + hkl[m, 1] * v[1] + hkl[m, 2] * v[2]
                cos2 = min(1.0, along * along / (length2[m] * axis_length2))
                x = r[a] * r[a] * cos2 + (1.0 - cos2) / r[a]
                total += share[m] / (x * math.sqrt(x))
            out[a, i] = total
