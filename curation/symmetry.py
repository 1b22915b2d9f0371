"""Space groups over a grid of tolerances, by spglib."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import spglib
from numpy.typing import NDArray

from curation.atoms import Atoms

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Symmetry:
    """What one search found."""

    number: int
    symbol: str
    rotations: NDArray[np.intc]
    """Acting on fractional coordinates of the cell searched."""
    n_primitive: int
    """Sites in the primitive cell."""
    primitive_lattice_A: Array
    mapping_to_primitive: NDArray[np.intc]


def find_symmetry(atoms: Atoms, symprec_A: float, angle_tolerance_deg: float) -> Symmetry | None:
    """The symmetry at one pair of tolerances; None where spglib finds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces how its errors will be raised one day
        found = spglib.get_symmetry_dataset(
            (atoms.lattice_A, atoms.fractional, atoms.kind + 1), symprec=symprec_A, angle_tolerance=angle_tolerance_deg
        )
    if found is None:
        return None
    mapping = found.mapping_to_primitive
    return Symmetry(
        int(found.number),
        str(found.international),
        found.rotations,
        int(mapping.max()) + 1,
        found.primitive_lattice,
        mapping,
    )


def primitive_atoms(atoms: Atoms, symmetry: Symmetry) -> Atoms:
    """The primitive cell that the search found, atoms where the input has them (mean over equivalent ones)."""
    lattice = symmetry.primitive_lattice_A
    fractional = atoms.fractional @ atoms.lattice_A @ np.linalg.inv(lattice)
    mapping = symmetry.mapping_to_primitive
    first = np.array([int(np.argmax(mapping == i)) for i in range(symmetry.n_primitive)])
    offset = fractional - fractional[first][mapping]
    offset -= np.round(offset)
    mean = np.zeros((symmetry.n_primitive, 3))
    np.add.at(mean, mapping, offset)
    mean /= np.bincount(mapping)[:, None]
    return Atoms(lattice, (fractional[first] + mean) % 1.0, atoms.kind[first], atoms.occupants)


def symmetrised_metric(lattice_A: Array, rotations: NDArray[np.intc]) -> Array:
    """The metric tensor averaged over the rotations (columns act on fractional coordinates), A^2."""
    g = lattice_A @ lattice_A.T
    r = rotations.astype(np.float64)
    mean: Array = np.mean(np.transpose(r, (0, 2, 1)) @ g @ r, axis=0)
    return mean
