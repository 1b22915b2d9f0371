"""CrystalNet's pattern: Mo K-alpha sticks over all angles in 1024 bins, equal to pymatgen's from compiled sums."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from curation.reflections import f_squared, half_sphere
from datagen.store.schema import XRD_BINS

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

WAVELENGTH_A = 0.71073
"""Mo K-alpha, pymatgen's `MoKa`."""
MERGE_DEG = 1e-5
"""Reflections whose 2theta rounds to the same multiple of this are one peak (pymatgen's TWO_THETA_TOL)."""
ABSENT = 1e-5
"""Peaks up to this fraction of the highest are left out (pymatgen's SCALED_INTENSITY_TOL)."""

HKL_PER_A3 = 2 / 3 * math.pi * (2 / WAVELENGTH_A) ** 3
"""Friedel pairs in the limiting sphere per A^3 of cell: 46.7."""
_SECONDS_PER_STRUCTURE = 0.003
_SECONDS_PER_HKL = 2e-7
_SECONDS_PER_TERM = 1.7e-9
"""Measured by benchmarks/store.py on one core of an ordinary server."""


MAX_TERMS = 5e9
"""Most reflections times atoms of the conventional cell: ten seconds of a core. The largest cell that curation accepts
by default (100,000 A^3, 500 atoms) has half of it."""


class XrdPeaksRefusedError(Exception):
    """A structure without this vector; the structure itself is kept."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def xrd_peaks(crystal: Crystal, max_terms: float = MAX_TERMS) -> NDArray[np.float32]:
    """Return the largest peak in each of 1024 bins of 180/1024 degrees in 2theta, the highest scaled to 1.

    Equal to pymatgen's XRDCalculator("MoKa") on the conventional standard cell: its own form factors
    f = Z - 41.78214 s^2 sum a exp(-b s^2) with s = sin(theta)/lambda, no dispersion, no displacements.
    """
    cell = conventional_cell(crystal)
    terms = xrd_peaks_terms(cell.volume, sum(len(site.species) for site in cell))
    if terms > max_terms:
        raise XrdPeaksRefusedError(
            "xrd_peaks_too_large",
            f"the conventional cell of {cell.volume:.0f} A^3 takes {terms:.2g} reflections times atoms; "
            f"the limit is {max_terms:.2g}",
        )
    two_theta_deg, intensity = peaks_of(cell)
    vector = np.zeros(XRD_BINS, dtype=np.float32)
    bins = np.minimum((XRD_BINS * two_theta_deg / 180.0).astype(np.int64), XRD_BINS - 1)
    np.maximum.at(vector, bins, (intensity / intensity.max()).astype(np.float32))
    return vector


def conventional_cell(crystal: Crystal) -> Structure:
    """Return the conventional standard cell with pymatgen's defaults, as CrystalNet does."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about electronegativities and deprecations only
        try:
            structure: Structure = SpacegroupAnalyzer(crystal.to_pymatgen()).get_conventional_standard_structure()
        except SymmetryUndeterminedError as error:
            raise XrdPeaksRefusedError("xrd_peaks_no_symmetry", f"no conventional cell was found: {error}") from None
    return structure


def peaks_of(cell: Structure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 2theta (degrees, ascending) and intensity of the peaks."""
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS

    elements: list[str] = []
    index, occupancy, fractional = [], [], []
    for site in cell:
        for species, amount in site.species.items():
            symbol = species.symbol
            if symbol not in elements:
                elements.append(symbol)
            index.append(elements.index(symbol))
            occupancy.append(float(amount))
            fractional.append(site.frac_coords)
    hkl, q2 = half_sphere(cell.lattice.matrix, 0.0, 2.0 / WAVELENGTH_A)
    s2 = q2 / 4
    factors = np.empty((len(elements), len(q2)))
    for row, symbol in enumerate(elements):
        table = np.asarray(ATOMIC_SCATTERING_PARAMS["H" if symbol in ("D", "T") else symbol])
        total = sum(a * np.exp(-b * s2) for a, b in table)
        factors[row] = _charge(cell, symbol) - 41.78214 * s2 * total
    f2 = f_squared(
        hkl,
        q2,
        np.array(fractional),
        np.array(occupancy),
        np.zeros(len(index)),
        factors,
        np.zeros(len(elements)),
        np.array(index),
    )
    theta = np.arcsin(np.minimum(WAVELENGTH_A * np.sqrt(q2) / 2, 1.0))
    intensity = f2 * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    order = np.argsort(q2, kind="stable")
    two_theta, intensity = np.degrees(2 * theta[order]), intensity[order]
    starts = np.flatnonzero(np.diff(np.rint(two_theta / MERGE_DEG), prepend=-1.0))
    merged = np.add.reduceat(intensity, starts)
    kept = merged > ABSENT * merged.max()
    return two_theta[starts][kept], merged[kept]


def xrd_peaks_terms(volume_A3: float, n_atoms: int) -> float:
    """Return reflections times atoms, the cost of the sum; volume and atoms are those of the conventional cell."""
    return HKL_PER_A3 * volume_A3 * n_atoms


def xrd_peaks_cost_seconds(volume_A3: float, n_atoms: int | None = None) -> float:
    """Return core seconds for one structure; without a number of atoms, one is assumed for every 15 A^3."""
    atoms = volume_A3 / 15 if n_atoms is None else n_atoms
    hkl = HKL_PER_A3 * volume_A3
    return _SECONDS_PER_STRUCTURE + hkl * (_SECONDS_PER_HKL + _SECONDS_PER_TERM * atoms)


def _charge(cell: Structure, symbol: str) -> int:
    return next(int(species.Z) for site in cell for species in site.species if species.symbol == symbol)
