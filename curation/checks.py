"""Checks of the atoms themselves: distances, and whether anything diffracts within the range."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.atoms import Atoms

Array = NDArray[np.float64]


def closest_pair(atoms: Atoms) -> tuple[float, int, int]:
    """Shortest distance between two sites (periodic images included), A, and the two sites."""
    from pymatgen.core.lattice import Lattice

    lattice = Lattice(atoms.lattice_A)
    if atoms.n_sites == 1:
        return float(min(lattice.abc)), 0, 0
    d = lattice.get_all_distances(atoms.fractional, atoms.fractional)
    np.fill_diagonal(d, min(lattice.abc))
    i, j = np.unravel_index(int(np.argmin(d)), d.shape)
    return float(d[i, j]), int(i), int(j)


def count_reflections(atoms: Atoms, wavelength_A: float, two_theta_deg: tuple[float, float]) -> int:
    """Distinct d-spacings with intensity whose Bragg angle lies in the range; atoms of a primitive cell."""
    q_min, q_max = (2 * np.sin(np.radians(t / 2)) / wavelength_A for t in two_theta_deg)
    reciprocal = np.linalg.inv(atoms.lattice_A)
    limits = np.floor(q_max * np.linalg.norm(atoms.lattice_A, axis=1)).astype(int)
    hkl = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limits], indexing="ij"), -1).reshape(-1, 3)
    q = np.linalg.norm(hkl @ reciprocal.T, axis=1)
    inside = (q >= q_min) & (q <= q_max)
    hkl, q = hkl[inside], q[inside]
    if not len(q):
        return 0
    stol2 = (q / 2) ** 2
    f = np.zeros(len(q), dtype=complex)
    for i, here in enumerate(atoms.occupants):
        phase = np.exp(2j * np.pi * (hkl @ atoms.fractional[atoms.kind == i].T)).sum(axis=1)
        for species, occupancy, u_iso in here:
            letters = "".join(c for c in species if c.isalpha())
            coef = gemmi.Element(letters).it92
            factor = np.array([coef.calculate_sf(s) for s in stol2.tolist()])
            f += occupancy * factor * phase * np.exp(-8 * np.pi**2 * u_iso * stol2)
    seen = np.abs(f) ** 2 > 1e-6 * np.max(np.abs(f)) ** 2
    return len(np.unique(np.round(q[seen], 6)))
