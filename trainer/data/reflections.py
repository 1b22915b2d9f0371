"""Reflections of a crystal as a dataset stores them, and what an instrument sees of them.

A dataset keeps one reflection of each family of equivalent ones, and the rotations of the point group. Positions and
areas at any wavelength follow by formula; the members of a family, which texture needs, are its rotated hkl.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MERGE_TOLERANCE = 5e-6
"""Reflections whose 1/d agree to this fraction are one peak, as in datagen."""
EDGE = 1e-7
"""Single precision of d: a reflection this fraction beyond the range is in it."""
_LARGEST_SINE = 2.0 * 0.99999
"""Twice the largest sin(theta) of a reflection."""
_BASE = 1 << 16
"""Of the number made of an hkl; indices are of 16 bits."""


@dataclass(frozen=True, eq=False)
class Sticks:
    """A structure's reflections before broadening, by line, then angle."""

    two_theta_deg: Array
    intensity: Array
    """Area under the peak."""
    line: NDArray[np.uint8]
    """Index of the wavelength."""
    members: NDArray[np.int32] | None = None
    """Number of Friedel pairs of each reflection; this and the following are None unless texture was drawn."""
    member_hkl: NDArray[np.int16] | None = None
    member_intensity: Array | None = None
    reciprocal_metric: Array | None = None
    rotations: NDArray[np.int8] | None = None
    """(rotation, 3, 3) of the point group, where cells are strained; each reflection is then one family."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Reflections of one crystal, those of equal d joined, in ascending q; no Lorentz and no polarisation factor."""

    inverse_d: Array
    """1/d, 1/A."""
    f2: Array
    """Multiplicity times |F|^2, e^2."""
    members: NDArray[np.int64]
    """Friedel pairs of each; they follow one another in the arrays below."""
    member_hkl: NDArray[np.int64]
    member_f2: Array


@dataclass(frozen=True, eq=False)
class Reflections:
    """Families of equivalent reflections of one crystal, in descending d."""

    d_A: NDArray[np.float32]
    f2: NDArray[np.float32]
    f2_lines: NDArray[np.float32]
    """(reflection, line): the same at the further lines of the dataset's instrument."""
    hkl: NDArray[np.int16]
    rotations: NDArray[np.int8]
    """(rotation, 3, 3)"""
    cell: Array
    """a, b, c in A, angles in degrees."""
    volume_A3: float

    @property
    def reciprocal_metric(self) -> Array:
        """Return the metric tensor of the reciprocal cell, 1/A^2."""
        cosines = np.cos(np.radians(self.cell[3:]))
        metric: Array = np.eye(3)
        for i, j, cosine in ((1, 2, cosines[0]), (0, 2, cosines[1]), (0, 1, cosines[2])):
            metric[i, j] = metric[j, i] = cosine
        return np.asarray(np.linalg.inv(metric * np.outer(self.cell[:3], self.cell[:3])), dtype=np.float64)

    def peaks(self) -> Peaks:
        """Return the peaks with the members of each."""
        inverse_d, f2 = 1 / self.d_A.astype(np.float64), self.f2.astype(np.float64)
        hkl, counts = family_members(self.hkl, self.rotations)
        group = groups(inverse_d)
        total = np.bincount(group, weights=f2).astype(np.float64)
        return Peaks(
            np.bincount(group, weights=f2 * inverse_d) / np.maximum(total, 1e-300),
            total,
            np.bincount(group, weights=counts).astype(np.int64),
            hkl,
            np.repeat(f2 / counts, counts),
        )


def groups(inverse_d: Array) -> NDArray[np.int64]:
    """Return the number of each reflection's peak, for ascending 1/d."""
    apart = np.diff(inverse_d) > MERGE_TOLERANCE * inverse_d[1:]
    return np.concatenate([[0] if len(inverse_d) else [], np.cumsum(apart)]).astype(np.int64)


def family_members(hkl: NDArray[np.int16], rotations: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one hkl of each Friedel pair of every family, family by family, and their numbers."""
    images = np.einsum("rij,nj->nri", rotations.astype(np.int64), hkl.astype(np.int64))
    # The first non-zero index decides the sign, so that of two Friedel mates one remains.
    number = np.abs((images[..., 0] * _BASE + images[..., 1]) * _BASE + images[..., 2])
    number.sort(axis=1)
    first = np.ones(number.shape, dtype=bool)
    first[:, 1:] = number[:, 1:] != number[:, :-1]
    kept = number[first]
    half = _BASE // 2
    last = (kept + half) % _BASE - half
    kept = (kept - last) // _BASE
    middle = (kept + half) % _BASE - half
    return np.stack([(kept - middle) // _BASE, middle, last], axis=1), first.sum(axis=1)


def lorentz_polarisation(two_theta_rad: Array, polarisation: float) -> Array:
    """Return ((1 - P) cos^2(2theta) + P) / (2 sin^2(theta) cos(theta))."""
    half = two_theta_rad / 2
    polarised = (1 - polarisation) * np.cos(two_theta_rad) ** 2 + polarisation
    found: Array = polarised / (2 * np.sin(half) ** 2 * np.cos(half))
    return found


def on_instrument(found: Reflections, instrument: Mapping[str, Any], *, members: bool, strain: float = 0.0) -> Sticks:
    """Return positions and areas in the range of the dataset's instrument, in ascending angle.

    With a largest strain, reflections that it may bring into the range are there too, and families are not joined.
    """
    members = members or strain > 0
    inverse_d = 1 / found.d_A.astype(np.float64)
    hkl, counts = family_members(found.hkl, found.rotations) if members else (np.zeros((0, 3)), np.zeros(0, np.int64))
    first = np.concatenate([[0], np.cumsum(counts)])
    polarisation = float(instrument["polarisation"])
    low, high = (np.sin(np.radians(float(instrument[f"two_theta_{end}_deg"]) / 2)) * 2 for end in ("min", "max"))
    positions, areas, lines, sizes, pairs, shares = [], [], [], [], [], []
    for number, line in enumerate(instrument["lines"]):
        sine = inverse_d * float(line["wavelength_A"])
        seen = np.flatnonzero((sine >= low * (1 - strain - EDGE)) & (sine <= high * (1 + strain + EDGE)))
        if strain:
            seen = seen[sine[seen] < _LARGEST_SINE]
        angle = 2 * np.arcsin(np.minimum(1.0, sine[seen] / 2))
        f2 = (found.f2 if number == 0 else found.f2_lines[:, number - 1]).astype(np.float64)
        scale = float(line.get("weight", 1.0)) / found.volume_A3**2
        area = scale * f2[seen] * lorentz_polarisation(angle, polarisation)
        group = np.arange(len(seen)) if strain else groups(inverse_d[seen])
        total = np.bincount(group, weights=area)
        positions.append(np.degrees(np.bincount(group, weights=area * angle) / np.maximum(total, 1e-300)))
        areas.append(total)
        lines.append(np.full(len(total), number, dtype=np.uint8))
        if members:
            at = ranges(first[seen], counts[seen])
            sizes.append(np.bincount(group, weights=counts[seen]).astype(np.int32))
            pairs.append(hkl[at].astype(np.int16))
            shares.append(np.repeat(area / counts[seen], counts[seen]))
    position = np.concatenate(positions)
    order = np.argsort(position, kind="stable")
    sticks = Sticks(
        position[order].astype(np.float64),
        np.concatenate(areas)[order].astype(np.float64),
        np.concatenate(lines)[order],
    )
    if not members:
        return sticks
    size = np.concatenate(sizes)
    at = ranges(np.concatenate([[0], np.cumsum(size)])[:-1][order], size[order])
    return replace(
        sticks,
        members=size[order],
        member_hkl=np.concatenate(pairs)[at],
        member_intensity=np.concatenate(shares)[at],
        reciprocal_metric=found.reciprocal_metric,
        rotations=found.rotations if strain else None,
    )


def ranges(first: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return `first[i], ..., first[i] + counts[i] - 1` for each i, one after another."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    found: NDArray[np.int64] = np.arange(total) + np.repeat(np.asarray(first) - (ends - counts), counts)
    return found
