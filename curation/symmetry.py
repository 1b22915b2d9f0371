"""One space group over a grid of tolerances, by spglib, and the primitive cell that goes with it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import spglib
from numpy.typing import NDArray

from curation.atoms import Array, Atoms
from curation.pseudosymmetry import more_symmetry_within

Pair = tuple[float, float]
"""Site tolerance in A, angle tolerance in degrees."""


@dataclass(frozen=True, eq=False)
class Found:
    """What one search found."""

    number: int
    symbol: str
    n_primitive: int
    """Sites in the primitive cell."""
    rotations: NDArray[np.int64]
    """Acting on fractional coordinates of the cell searched."""
    primitive_lattice_A: Array
    mapping_to_primitive: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Primitive:
    """A primitive cell with the atoms where the crystal has them, and its point operations."""

    atoms: Atoms
    rotations: NDArray[np.int64]


def search(atoms: Atoms, pair: Pair) -> Found | None:
    """The symmetry at one pair of tolerances; None where spglib finds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces how its errors will be raised one day
        found = spglib.get_symmetry_dataset(
            (atoms.lattice_A, atoms.fractional, atoms.kind + 1),  # type: ignore[arg-type]  # arrays are sequences to it
            symprec=pair[0],
            angle_tolerance=pair[1],
        )
    if found is None:
        return None
    mapping = np.asarray(found.mapping_to_primitive, dtype=np.int64)
    return Found(
        int(found.number),
        str(found.international),
        int(mapping.max()) + 1,
        np.asarray(found.rotations, dtype=np.int64),
        np.asarray(found.primitive_lattice, dtype=np.float64),
        mapping,
    )


def search_others(
    atoms: Atoms, primitive: Primitive, first: Found, pairs: tuple[Pair, ...], min_distance_A: float
) -> list[Found | None]:
    """What the pairs after the tightest find.

    They find what the tightest found where no further operation comes within reach of the loosest tolerances and no
    two atoms come so close that a search would take them for one; else spglib is asked for each.
    """
    loosest = max(s for s, _ in pairs), max(a for _, a in pairs)
    apart = min_distance_A > 2.0 * loosest[0]
    if apart and not more_symmetry_within(primitive.atoms, primitive.rotations, pairs[0][0], *loosest):
        return [first] * (len(pairs) - 1)
    return [search(atoms, pair) for pair in pairs[1:]]


def primitive_cell(atoms: Atoms, found: Found) -> Primitive:
    """The primitive cell that a search found: atoms at the mean of those that a lattice translation makes equal."""
    lattice, fractional = found.primitive_lattice_A, atoms.fractional
    if np.linalg.det(lattice) < 0:
        lattice = -lattice
    to_primitive = atoms.lattice_A @ np.linalg.inv(lattice)
    fractional = fractional @ to_primitive
    mapping = found.mapping_to_primitive
    first = np.unique(mapping, return_index=True)[1]
    offset = fractional - fractional[first][mapping]
    offset -= np.rint(offset)
    mean = np.zeros((found.n_primitive, 3))
    np.add.at(mean, mapping, offset)
    mean /= np.bincount(mapping)[:, None]
    change = to_primitive.T
    rotations = np.rint(change @ found.rotations @ np.linalg.inv(change)).astype(np.int64)
    return Primitive(
        Atoms(lattice, (fractional[first] + mean) % 1.0, atoms.kind[first], atoms.occupants),
        np.unique(rotations, axis=0),
    )


def symmetrised_metric(primitive: Primitive) -> Array:
    """The metric tensor averaged over the point operations, A^2: exactly as symmetric as the crystal."""
    g = primitive.atoms.lattice_A @ primitive.atoms.lattice_A.T
    r = primitive.rotations.astype(np.float64)
    mean: Array = np.mean(r.transpose(0, 2, 1) @ g @ r, axis=0)
    return mean


def change_basis(primitive: Primitive, change: NDArray[np.int64]) -> Primitive:
    """The same crystal with the rows of `change` as cell vectors."""
    inverse = np.rint(np.linalg.inv(change)).astype(np.int64)
    atoms = primitive.atoms
    # Columns transform with the inverse transpose of what rows transform with.
    rotations = inverse.T @ primitive.rotations @ change.T
    moved = Atoms(change @ atoms.lattice_A, (atoms.fractional @ inverse) % 1.0, atoms.kind, atoms.occupants)
    return Primitive(moved, rotations)
