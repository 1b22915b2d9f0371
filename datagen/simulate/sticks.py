"""Sticks: the reflections of a crystal, merged by |Q|, with the areas of their peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from curation.reflections import half_sphere, merge_peaks
from datagen.simulate.instrument import Instrument
from datagen.simulate.refusal import NoReflections
from datagen.simulate.scattering import scattering_table, squared_amplitudes

Array = NDArray[np.float64]

__all__ = ["NoReflectionsError", "Sticks", "compute_sticks", "lorentz_polarisation"]

NoReflectionsError = NoReflections


@dataclass(frozen=True, eq=False)
class Sticks:
    """The pattern before broadening, one entry per |Q| and line, in ascending angle.

    Broadening needs positions and intensities. Preferred orientation also needs the members: the correction depends
    on direction, so the share of each hkl is weighted before the sum.
    """

    two_theta_deg: Array
    """Bragg angle, without axial divergence or shifts."""
    intensity: Array
    """Area under the peak, e^2 A^-6 deg: multiplicity |F|^2 Lorentz polarisation weight / V^2."""
    line: NDArray[np.int64]
    """Index of the instrument's line."""
    member_hkl: NDArray[np.int32]
    """(member, 3): one of each Friedel pair, indices of the crystal's own cell."""
    member_intensity: Array
    """Contribution of each pair."""
    member_start: NDArray[np.int64]
    """Members of stick i: member_start[i]:member_start[i + 1]."""
    reciprocal_metric: Array
    """(3, 3), 1/A^2, for the angles between hkl."""
    warnings: tuple[str, ...] = ()
    """Assumptions made about species."""

    def __len__(self) -> int:
        return int(self.two_theta_deg.size)


def lorentz_polarisation(two_theta_rad: Array, polarisation: float) -> Array:
    """Return ((1 - P) cos^2(2theta) + P) / (2 sin^2(theta) cos(theta))."""
    theta = 0.5 * two_theta_rad
    polarised = (1.0 - polarisation) * np.cos(two_theta_rad) ** 2 + polarisation
    return np.asarray(polarised / (2.0 * np.sin(theta) ** 2 * np.cos(theta)), dtype=np.float64)


def compute_sticks(crystal: Crystal, instrument: Instrument, strained_A: Array | None = None) -> Sticks:
    """Return all reflections inside the instrument's range; raise `NoReflections` if there is none.

    In a strained cell |F|^2 of each hkl is that of the crystal: the electron density is strained as a whole.
    """
    parts = [_sticks_of_line(crystal, instrument, number, strained_A) for number in range(len(instrument.lines))]
    sticks = parts[0] if len(parts) == 1 else _in_ascending_angle(parts)
    if len(sticks) == 0:
        raise NoReflections(
            f"no reflection between {instrument.two_theta_min_deg} and {instrument.two_theta_max_deg} degrees"
        )
    return sticks


def _sticks_of_line(crystal: Crystal, instrument: Instrument, number: int, strained_A: Array | None) -> Sticks:
    line = instrument.lines[number]
    wavelength = line.wavelength_A
    q_min = 2.0 * math.sin(math.radians(instrument.two_theta_min_deg / 2)) / wavelength
    q_max = 2.0 * math.sin(math.radians(instrument.two_theta_max_deg / 2)) / wavelength
    lattice_A = crystal.lattice_A if strained_A is None else strained_A
    hkl, q2 = half_sphere(lattice_A, q_min, q_max)
    own_q2 = q2 if strained_A is None else _q_squared(hkl, crystal.lattice_A)
    table = scattering_table(crystal.species, wavelength)
    f2 = squared_amplitudes(crystal, hkl, own_q2, table)
    order = np.argsort(q2, kind="stable")
    hkl, q = hkl[order], np.sqrt(q2[order])
    two_theta = 2.0 * np.arcsin(np.minimum(1.0, 0.5 * wavelength * q))
    volume_A3 = crystal.volume_A3 if strained_A is None else abs(float(np.linalg.det(strained_A)))
    shares = 2.0 * line.weight / volume_A3**2 * f2[order]
    shares *= lorentz_polarisation(two_theta, instrument.polarisation)

    group, intensity, kept = merge_peaks(q, shares)
    sizes = np.bincount(group)
    # The centre of gravity changes little if reflections at almost the same angle are merged or not.
    moment = np.bincount(group, weights=shares * two_theta)
    position = np.degrees(moment[kept] / intensity[kept])
    member_kept = kept[group]
    return Sticks(
        two_theta_deg=position,
        intensity=intensity[kept],
        line=np.full(np.count_nonzero(kept), number, dtype=np.int64),
        member_hkl=hkl[member_kept],
        member_intensity=shares[member_kept],
        member_start=np.concatenate([[0], np.cumsum(sizes[kept])]),
        reciprocal_metric=np.asarray(np.linalg.inv(lattice_A @ lattice_A.T), dtype=np.float64),
        warnings=table.warnings,
    )


def _q_squared(hkl: NDArray[np.int32], lattice_A: Array) -> Array:
    """Return 1/d^2 of hkl in a cell."""
    vectors = hkl @ np.linalg.inv(lattice_A).T
    return np.asarray((vectors**2).sum(axis=1), dtype=np.float64)


def _in_ascending_angle(parts: list[Sticks]) -> Sticks:
    """Return the sticks of several lines as one list."""
    position = np.concatenate([p.two_theta_deg for p in parts])
    sizes = np.concatenate([np.diff(p.member_start) for p in parts])
    order = np.argsort(position, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    members = np.argsort(np.repeat(rank, sizes), kind="stable")
    return Sticks(
        two_theta_deg=position[order],
        intensity=np.concatenate([p.intensity for p in parts])[order],
        line=np.concatenate([p.line for p in parts])[order],
        member_hkl=np.concatenate([p.member_hkl for p in parts])[members],
        member_intensity=np.concatenate([p.member_intensity for p in parts])[members],
        member_start=np.concatenate([[0], np.cumsum(sizes[order])]),
        reciprocal_metric=parts[0].reciprocal_metric,
        warnings=tuple(dict.fromkeys(w for p in parts for w in p.warnings)),
    )
