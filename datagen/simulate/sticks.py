"""What of a crystal reaches the detector: reflections merged by |Q|, with intensities ready to be broadened."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import march_dollase
from datagen.simulate.reflections import f_squared, half_sphere
from datagen.simulate.scattering import scattering_table

Array = NDArray[np.float64]

MERGE_TOLERANCE = 5e-6
"""Reflections whose |Q| agree to this fraction are one: stored cells are rounded to 1e-6 A, which splits equivalents by
a few 1e-7. At 20 degrees it is 1e-4 degrees, a twentieth of a step of the paper's grid."""
ABSENT = 1e-9
"""Below this fraction of the strongest, a reflection is one that symmetry forbids, left over by rounding."""


class NoReflectionsError(ValueError):
    """The crystal has no reflection inside the instrument's range: there is no pattern to make."""


@dataclass(frozen=True, eq=False)
class Sticks:
    """The pattern before broadening, one entry per |Q| and line, ordered by line, then angle.

    Position and intensity are enough to broaden again; preferred orientation needs the members: the correction
    depends on direction, so each hkl's share is weighted before the sum.
    """

    two_theta_deg: Array
    """Bragg angle, without axial divergence or shifts."""
    intensity: Array
    """Area under the peak, e^2 A^-6 deg: multiplicity |F|^2 Lorentz polarisation weight / V^2."""
    line: NDArray[np.int64]
    """Which of the instrument's lines."""
    member_hkl: NDArray[np.int32]
    """(member, 3): one of each Friedel pair, indices of the crystal's own cell."""
    member_intensity: Array
    """What each pair contributes."""
    member_start: NDArray[np.int64]
    """Members of stick i: member_start[i]:member_start[i + 1]."""
    reciprocal_metric: Array
    """(3, 3), 1/A^2: angles between hkl."""
    warnings: tuple[str, ...] = ()
    """Assumptions made about species."""

    def __len__(self) -> int:
        return int(self.two_theta_deg.size)


def lorentz_polarisation(two_theta_rad: Array, polarisation: float) -> Array:
    """((1 - P) cos^2(2theta) + P) / (2 sin^2(theta) cos(theta))."""
    theta = 0.5 * two_theta_rad
    polarised = (1.0 - polarisation) * np.cos(two_theta_rad) ** 2 + polarisation
    return np.asarray(polarised / (2.0 * np.sin(theta) ** 2 * np.cos(theta)), dtype=np.float64)


def compute_sticks(crystal: Crystal, instrument: Instrument) -> Sticks:
    """All reflections inside the instrument's range; raises `NoReflectionsError` where there is none."""
    parts = [_sticks_of_line(crystal, instrument, number) for number in range(len(instrument.lines))]
    warnings = tuple(dict.fromkeys(w for _, found in parts for w in found))
    columns = [part for part, _ in parts]
    position, intensity, hkl, members, sizes = (np.concatenate(c) for c in zip(*columns, strict=True))
    if position.size == 0:
        raise NoReflectionsError(
            f"no reflection between {instrument.two_theta_min_deg} and {instrument.two_theta_max_deg} degrees"
        )
    line = np.repeat(np.arange(len(columns)), [len(c[0]) for c in columns])
    start = np.concatenate([[0], np.cumsum(sizes)])
    metric = np.linalg.inv(crystal.lattice_A @ crystal.lattice_A.T)
    return Sticks(position, intensity, line, hkl, members, start, metric, warnings)


def _sticks_of_line(
    crystal: Crystal, instrument: Instrument, number: int
) -> tuple[tuple[Array, Array, NDArray[np.int32], Array, NDArray[np.int64]], tuple[str, ...]]:
    """Position, intensity, member hkl, member intensity, members per stick."""
    line = instrument.lines[number]
    wavelength = line.wavelength_A
    q_min = 2.0 * math.sin(math.radians(instrument.two_theta_min_deg / 2)) / wavelength
    q_max = 2.0 * math.sin(math.radians(instrument.two_theta_max_deg / 2)) / wavelength
    hkl, q2 = half_sphere(crystal.lattice_A, q_min, q_max)
    table = scattering_table(crystal.species, wavelength)
    f2 = f_squared(hkl, q2, crystal.fractional, crystal.occupancy, crystal.u_iso_A2, table.coefficients, table.index)
    order = np.argsort(q2, kind="stable")
    hkl, q, f2 = hkl[order], np.sqrt(q2[order]), f2[order]
    two_theta = 2.0 * np.arcsin(np.minimum(1.0, 0.5 * wavelength * q))
    members = 2.0 * line.weight / crystal.volume_A3**2 * f2 * lorentz_polarisation(two_theta, instrument.polarisation)

    group = _groups(q)
    n = int(group[-1]) + 1 if group.size else 0
    sizes = np.bincount(group, minlength=n)
    intensity = np.bincount(group, weights=members, minlength=n)
    position = np.degrees(np.bincount(group, weights=two_theta, minlength=n) / np.maximum(sizes, 1))
    kept = intensity > ABSENT * intensity.max(initial=0.0)
    member_kept = kept[group]
    return (position[kept], intensity[kept], hkl[member_kept], members[member_kept], sizes[kept]), table.warnings


def _groups(q: Array) -> NDArray[np.int64]:
    """Number of the stick each reflection belongs to, for ascending |Q|; no stick is wider than the tolerance."""
    group = np.zeros(q.size, dtype=np.int64)
    first, n = 0, 0
    for i in range(1, q.size):
        if q[i] - q[first] > MERGE_TOLERANCE * q[i]:
            first, n = i, n + 1
        group[i] = n
    return group


def textured_intensity(sticks: Sticks, augmentations: Augmentations) -> Array:
    """Intensity (augmentation, stick) with each one's preferred orientation."""
    out = np.empty((len(augmentations), len(sticks)))
    for i, (axis, r) in enumerate(zip(augmentations.march_hkl, augmentations.march_r.tolist(), strict=True)):
        weight = march_dollase(sticks.member_hkl, sticks.reciprocal_metric, axis, r)
        out[i] = np.add.reduceat(sticks.member_intensity * weight, sticks.member_start[:-1])
    return out
