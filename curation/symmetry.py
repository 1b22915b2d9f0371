"""Space group over a grid of tolerances, by spglib, and the primitive cell."""

from __future__ import annotations

import math
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
class SymmetryResult:
    """Result of a symmetry search."""

    number: int
    symbol: str
    n_primitive: int
    """Sites in the primitive cell."""
    rotations: NDArray[np.int64]
    """Acting on fractional coordinates of the cell searched, each with its translation."""
    translations: Array
    primitive_lattice_A: Array
    mapping_to_primitive: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Primitive:
    """A primitive cell with the crystal's atoms, not symmetrised, and one operation for each rotation."""

    atoms: Atoms
    rotations: NDArray[np.int64]
    translations: Array


@dataclass(frozen=True, eq=False)
class Grid:
    """Results at all pairs of tolerances."""

    results: tuple[SymmetryResult | None, ...]
    in_reverse: tuple[int | None, ...] | None
    """Space groups with the atoms in reverse order, if the order may matter."""


def search(atoms: Atoms, pair: Pair) -> SymmetryResult | None:
    """Return the symmetry at a pair of tolerances, or None if spglib finds none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces a change of its errors
        found = spglib.get_symmetry_dataset(
            (atoms.lattice_A, atoms.fractional, atoms.kind + 1),  # type: ignore[arg-type]  # arrays are sequences to it
            symprec=pair[0],
            angle_tolerance=pair[1],
        )
    if found is None:
        return None
    mapping = np.asarray(found.mapping_to_primitive, dtype=np.int64)
    return SymmetryResult(
        int(found.number),
        str(found.international),
        int(mapping.max()) + 1,
        np.asarray(found.rotations, dtype=np.int64),
        np.asarray(found.translations, dtype=np.float64),
        np.asarray(found.primitive_lattice, dtype=np.float64),
        mapping,
    )


def search_grid(
    atoms: Atoms, primitive: Primitive, first: SymmetryResult, pairs: tuple[Pair, ...], min_distance_A: float
) -> Grid:
    """Return the results at all pairs; `first` is that of the first pair.

    One search is enough if its operations hold to half the tightest tolerance, no further operation is within reach of
    the loosest, and no two atoms are close enough to be taken for one. Otherwise spglib searches at every pair. Near a
    tolerance its result may depend on the order of the atoms, because one atom fixes the translation; so if all pairs
    agree, the search is repeated in reverse order.
    """
    loosest = max(s for s, _ in pairs), max(a for _, a in pairs)
    if (
        min_distance_A > 2.0 * loosest[0]
        and largest_misfit(primitive) < 0.5 * pairs[0][0]
        and not more_symmetry_within(primitive.atoms, primitive.rotations, pairs[0][0], *loosest)
    ):
        return Grid((first,) * len(pairs), None)
    results = (first, *(search(atoms, pair) for pair in pairs[1:]))
    if any(r is None or r.number != first.number for r in results):
        return Grid(results, None)
    reverse = Atoms(atoms.lattice_A, atoms.fractional[::-1], atoms.kind[::-1], atoms.occupants)
    again = (search(reverse, pair) for pair in pairs)
    return Grid(results, tuple(None if r is None else r.number for r in again))


def largest_misfit(primitive: Primitive) -> float:
    """Return the largest distance from an atom's image to the nearest atom of its kind, over all operations, A."""
    atoms = primitive.atoms
    worst = 0.0
    for kind in np.unique(atoms.kind).tolist():
        here = atoms.fractional[atoms.kind == kind]
        images = here @ primitive.rotations.transpose(0, 2, 1) + primitive.translations[:, None, :]
        d = images[:, :, None, :] - here
        d -= np.rint(d)
        d = d @ atoms.lattice_A
        worst = max(worst, float(np.einsum("nijk,nijk->nij", d, d).min(axis=2).max()))
    return math.sqrt(worst)


def primitive_cell(atoms: Atoms, found: SymmetryResult) -> Primitive:
    """Return the primitive cell of a result; atoms equal by a lattice translation are averaged."""
    lattice = _canonical_basis(atoms.lattice_A, found.primitive_lattice_A)
    to_primitive = atoms.lattice_A @ np.linalg.inv(lattice)
    fractional = atoms.fractional @ to_primitive
    mapping = found.mapping_to_primitive
    first = np.unique(mapping, return_index=True)[1]
    offset = fractional - fractional[first][mapping]
    offset -= np.rint(offset)
    mean = np.zeros((found.n_primitive, 3))
    np.add.at(mean, mapping, offset)
    mean /= np.bincount(mapping)[:, None]
    rotations = np.rint(to_primitive.T @ found.rotations @ np.linalg.inv(to_primitive.T)).astype(np.int64)
    rotations, chosen = np.unique(rotations, axis=0, return_index=True)
    return Primitive(
        Atoms(lattice, fractional[first] + mean, atoms.kind[first], atoms.occupants),
        rotations,
        found.translations[chosen] @ to_primitive,
    )


def _canonical_basis(lattice_A: Array, primitive_lattice_A: Array) -> Array:
    """Return Hermite's normal form of the primitive lattice in terms of the given cell.

    spglib's own basis may depend on the order of the atoms.
    """
    coarse = primitive_lattice_A @ np.linalg.inv(lattice_A)
    n = round(1.0 / abs(float(np.linalg.det(coarse))))
    rows = [[int(v) for v in row] for row in np.rint(coarse * n)]
    for column in range(3):
        for row in range(column + 1, 3):
            while rows[row][column]:
                quotient = rows[column][column] // rows[row][column]
                rows[column], rows[row] = (
                    rows[row],
                    [a - quotient * b for a, b in zip(rows[column], rows[row], strict=True)],
                )
        if rows[column][column] < 0:
            rows[column] = [-v for v in rows[column]]
        for row in range(column):
            quotient = rows[row][column] // rows[column][column]
            rows[row] = [a - quotient * b for a, b in zip(rows[row], rows[column], strict=True)]
    basis: Array = np.array(rows, dtype=np.float64) / n @ lattice_A
    return basis


def symmetrised_metric(primitive: Primitive) -> Array:
    """Return the metric tensor averaged over the point operations, A^2: exactly as symmetric as the crystal."""
    g = primitive.atoms.lattice_A @ primitive.atoms.lattice_A.T
    r = primitive.rotations.astype(np.float64)
    mean: Array = np.mean(r.transpose(0, 2, 1) @ g @ r, axis=0)
    return mean


def change_basis(primitive: Primitive, change: NDArray[np.int64]) -> Primitive:
    """Return the crystal with the rows of `change` as cell vectors."""
    inverse = np.rint(np.linalg.inv(change)).astype(np.int64)
    atoms = primitive.atoms
    # Columns transform with the inverse transpose of what rows transform with.
    rotations = inverse.T @ primitive.rotations @ change.T
    moved = Atoms(change @ atoms.lattice_A, (atoms.fractional @ inverse) % 1.0, atoms.kind, atoms.occupants)
    return Primitive(moved, rotations, primitive.translations @ inverse)
