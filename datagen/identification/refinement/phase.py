"""A crystal as a refinement needs it: reflections that move together, their intensities, and the cell's freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from curation.reflections import half_sphere
from datagen.errors import DatagenError
from datagen.identification.strain import free_strains
from datagen.simulate.gsas2.cell import cell_parameters, symmetric
from datagen.simulate.scattering import scattering_table, squared_amplitudes

Array = NDArray[np.float64]
MARGIN = 0.02
"""Of q beyond the scan's range, for cells that shrink."""
ABSENT = 1e-9
"""Of the strongest reflection: rounding of what symmetry forbids."""
_ISOTROPIC = np.eye(3) / np.sqrt(3.0)


@dataclass(frozen=True, eq=False)
class Phase:
    """Reflections of one crystal, each group of them at one angle whatever the cell becomes."""

    name: str
    space_group: int
    lattice_A: Array
    """Rows of the crystal's own cell."""
    conventional: Array
    """(3, 3): rows of the conventional cell are this matrix times `lattice_A`."""
    strains: Array
    """(k, 3, 3): symmetric tensors that symmetry leaves free, the change of size first."""
    hkl: NDArray[np.int32]
    """(group, 3): one reflection of each group, indices of the crystal's own cell."""
    amplitude: Array
    """(group,): multiplicity |F|^2, relative."""
    members: NDArray[np.int32]
    member_amplitude: Array
    member_start: NDArray[np.int64]
    """Reflections of group i: member_start[i]:member_start[i + 1], one of each Friedel pair."""

    def lattice(self, strain: Array) -> Array:
        """Return the cell with these amounts of its free strains, rows, A."""
        changed: Array = self.lattice_A @ (np.eye(3) + np.tensordot(strain, self.strains, axes=1))
        return changed

    def q(self, strain: Array) -> Array:
        """Return 1/d of each group, 1/A."""
        reciprocal = np.linalg.inv(self.lattice(strain)).T
        return np.asarray(np.linalg.norm(self.hkl @ reciprocal, axis=1), dtype=np.float64)

    def conventional_cell(self, strain: Array) -> Array:
        """Return a, b, c in A and alpha, beta, gamma in degrees of the conventional cell."""
        return np.array(cell_parameters(self.conventional @ self.lattice(strain)))

    def textured(self, march_r: float, axis: Array) -> Array:
        """Return the amplitudes with preferred orientation of an axis, indices of the conventional cell."""
        reciprocal = np.linalg.inv(self.lattice_A).T
        # Indices transform as the cell's vectors do: h(conventional) = M h(own).
        own = np.linalg.solve(self.conventional, axis)
        unit = own @ reciprocal
        unit = unit / np.linalg.norm(unit)
        vectors = self.members @ reciprocal
        cos2 = (vectors @ unit) ** 2 / (vectors**2).sum(axis=1)
        weight = (march_r**2 * cos2 + (1.0 - cos2) / march_r) ** -1.5
        return np.asarray(np.add.reduceat(self.member_amplitude * weight, self.member_start[:-1]), dtype=np.float64)


def phase_of(crystal: Crystal, name: str, wavelength_A: float, q_range: tuple[float, float]) -> Phase:
    """Return the reflections of a crystal with q = 1/d in a range, 1/A; raise DatagenError if there are none."""
    handover = symmetric(crystal)
    conventional = np.linalg.inv(handover.to_crystal_hkl).T
    free = free_strains(conventional @ crystal.lattice_A, handover.rotations.astype(np.int64))
    strains = np.concatenate([_ISOTROPIC[None], free])
    low, high = q_range
    hkl, q2 = half_sphere(crystal.lattice_A, low * (1 - MARGIN), high * (1 + MARGIN))
    f2 = 2.0 * squared_amplitudes(crystal, hkl, q2, scattering_table(crystal.species, wavelength_A))
    present = f2 > ABSENT * f2.max(initial=0.0)
    if not present.any():
        raise DatagenError(f"{name}: no reflection between d = {1 / high:.2f} and {1 / max(low, 1e-9):.2f} A")
    hkl, f2 = hkl[present], f2[present]
    order, start = _groups(hkl, crystal.lattice_A, strains)
    hkl, f2 = hkl[order], f2[order]
    return Phase(
        name,
        handover.space_group,
        crystal.lattice_A,
        np.asarray(conventional, dtype=np.float64),
        strains,
        hkl[start[:-1]],
        np.add.reduceat(f2, start[:-1]),
        hkl,
        f2,
        start,
    )


def _groups(hkl: NDArray[np.int32], lattice_A: Array, strains: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return an order and the starts of groups whose q and its change by every free strain are equal."""
    vectors = hkl @ np.linalg.inv(lattice_A).T
    q = np.linalg.norm(vectors, axis=1)
    change = np.einsum("ni,kij,nj->nk", vectors, strains, vectors) / q[:, None] ** 2
    key = np.round(np.column_stack([np.log(q), change]), 5)
    order = np.lexsort(key.T[::-1])
    new = np.any(np.diff(key[order], axis=0) != 0, axis=1)
    return order, np.concatenate([[0], np.flatnonzero(new) + 1, [len(order)]])
