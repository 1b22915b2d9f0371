"""Atoms of one cell during curation: positions and their occupants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Occupant = tuple[str, float, float]
"""Species (`Fe`, `Fe3+`), occupancy, U_iso in A^2."""


@dataclass(frozen=True, eq=False)
class Atoms:
    """One cell in P1: `occupants[kind[i]]` are at `fractional[i]`."""

    lattice_A: Array
    """Rows are a, b, c."""
    fractional: Array
    kind: NDArray[np.intc]
    """Equal for positions with the same species, occupancies and displacements."""
    occupants: tuple[tuple[Occupant, ...], ...]

    @property
    def n_sites(self) -> int:
        """Number of positions."""
        return len(self.kind)

    @property
    def volume_A3(self) -> float:
        """Cell volume."""
        return abs(float(np.linalg.det(self.lattice_A)))

    def amounts(self) -> dict[str, float]:
        """Return the atoms of each species in the cell, weighted by occupancy."""
        found: dict[str, float] = {}
        counts = np.bincount(self.kind, minlength=len(self.occupants))
        for n, here in zip(counts.tolist(), self.occupants, strict=True):
            for species, occupancy, _ in here:
                found[species] = found.get(species, 0.0) + n * occupancy
        return found


def cell_matrix(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> Array:
    """Return rows a, b, c in A with a along x and b in the xy plane, from lengths in A and angles in degrees."""
    cos = [0.0 if t == 90.0 else float(np.cos(np.radians(t))) for t in (alpha, beta, gamma)]
    sin_gamma = 1.0 if gamma == 90.0 else float(np.sin(np.radians(gamma)))
    cx = cos[1]
    cy = (cos[0] - cos[1] * cos[2]) / sin_gamma
    cz2 = 1.0 - cx * cx - cy * cy
    cz = float(np.sqrt(cz2)) if cz2 > 0 else float("nan")
    return np.array([[a, 0.0, 0.0], [b * cos[2], b * sin_gamma, 0.0], [c * cx, c * cy, c * cz]])


def cell_parameters(lattice_A: Array) -> tuple[float, float, float, float, float, float]:
    """Return lengths in A and angles in degrees of the cell with rows a, b, c."""
    lengths = np.linalg.norm(lattice_A, axis=1)
    unit = lattice_A / lengths[:, None]
    cosines = np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1.0, 1.0)
    a, b, c = lengths.tolist()
    alpha, beta, gamma = np.degrees(np.arccos(cosines)).tolist()
    return a, b, c, alpha, beta, gamma
