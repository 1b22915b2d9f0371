"""Generation of a crystal from a seed and its number."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from catalogs.generated.cell import cell_vectors, draw_cell
from catalogs.generated.contents import draw_contents
from catalogs.generated.draws import Stream, pick, quantile, stream
from catalogs.generated.full_symmetry import (
    ANGLE_TOLERANCE_DEG,
    LENGTH_TOLERANCE_A,
    SITE_TOLERANCE_A,
    has_more_symmetry,
)
from catalogs.generated.groups import Group, group
from catalogs.generated.placement import place
from catalogs.generated.reduction import inverse, product, reduce_cell
from catalogs.generated.statistics import statistics
from catalogs.generated.tables import ElementTables, GroupTables, element_tables, group_tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_CELLS = 6
EXPANSION = 1.04
"""Contents that do not fit are tried again, each time in a cell larger by this factor."""
MOST_ATTEMPTS = 3000
"""Contents drawn before a group is given up."""


@dataclass(frozen=True, eq=False)
class GeneratedCrystal:
    """The asymmetric unit of a crystal in the reference setting of its group."""

    group: Group
    cell: tuple[float, ...]
    """a, b, c in A; alpha, beta, gamma in degrees."""
    symbols: tuple[str, ...]
    """Element of each atom of the asymmetric unit."""
    fractional: Floats
    multiplicity: tuple[int, ...]
    """Points of each atom's orbit in the conventional cell."""
    attempts: int
    """Contents drawn until one fitted."""


@dataclass(frozen=True, eq=False)
class Choices:
    """What may be drawn."""

    seed: int
    groups: Ints
    group_weights: Floats
    element_weights: Floats
    """By element of the statistics; 0 if it may not occur."""
    max_atoms: int


def generate(choices: Choices, number: int) -> GeneratedCrystal | None:
    """Return crystal `number`, or None if no contents of its group fit."""
    random = stream(choices.seed, number)
    g = group(int(choices.groups[pick(choices.group_weights, random)]))
    attempts, cell, position, element, first = _generate(
        group_tables(g.number), element_tables(), choices.element_weights, choices.max_atoms, random
    )
    if attempts > MOST_ATTEMPTS:
        return None
    symbols = statistics().symbols
    return GeneratedCrystal(
        g,
        tuple(cell.tolist()),
        tuple(symbols[e] for e in element.tolist()),
        first,
        tuple((g.multiplicity[position] * g.n_centring).tolist()),
        attempts,
    )


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _generate(
    g: GroupTables, known: ElementTables, element_weight: Floats, max_atoms: int, s: Stream
) -> tuple[int, Floats, Ints, Ints, Floats]:
    """Return attempts, the cell, and position, element and first atom of each orbit."""
    cell = np.empty(6)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        position, element = draw_contents(g, known, element_weight, max_atoms, s)
        first = np.zeros((len(position), 3))
        if len(position) > 0 and _place_contents(g, known, position, element, s, cell, first):
            return attempt, cell, position, element, first
    return MOST_ATTEMPTS + 1, cell, position, element, first


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _place_contents(
    g: GroupTables, known: ElementTables, position: Ints, element: Ints, s: Stream, cell: Floats, first: Floats
) -> bool:
    """Fill in a cell and the first atom of each orbit, at the distances and with the symmetry they should have."""
    kind, required_A = _required_distances(element, known.shortest_A)
    n_atoms, atoms_A3 = 0, 0.0
    for o in range(len(position)):
        n = g.multiplicity[position[o]]
        n_atoms += n
        atoms_A3 += n * g.n_centring * known.atomic_volume_A3[element[o]]
    atoms, atom_kind, change = np.empty((n_atoms, 3)), np.empty(n_atoms, dtype=np.int64), np.empty((3, 3))
    volume_A3 = atoms_A3 * quantile(known.volume_ratio, s)
    for _ in range(N_CELLS):
        is_cell = draw_cell(g.shapes, volume_A3, s, cell)
        volume_A3 *= EXPANSION
        if not is_cell:
            continue
        reduced_A = reduce_cell(product(g.primitive, cell_vectors(cell)), change)
        to_reduced = product(g.to_primitive, inverse(change))
        if place(reduced_A, to_reduced, g, position, kind, required_A, s, first, atoms, atom_kind):
            rotations = _in_reduced_cell(g.point_rotations, to_reduced)
            if not has_more_symmetry(
                reduced_A, atoms, atom_kind, rotations, LENGTH_TOLERANCE_A, ANGLE_TOLERANCE_DEG, SITE_TOLERANCE_A
            ):
                return True
    return False


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _required_distances(element: Ints, shortest_A: Floats) -> tuple[Ints, Floats]:
    """Return the elements as numbers from 0, and the shortest distance of each two of those."""
    kind = np.empty(len(element), dtype=np.int64)
    different = np.empty(len(element), dtype=np.int64)
    n = 0
    for o in range(len(element)):
        k = 0
        while k < n and different[k] != element[o]:
            k += 1
        if k == n:
            different[n] = element[o]
            n += 1
        kind[o] = k
    required_A = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            required_A[i, j] = shortest_A[different[i], different[j]]
    return kind, required_A


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _in_reduced_cell(rotations: Floats, to_reduced: Floats) -> Floats:
    """Return rotations that act on coordinates of the reduced cell, which are integer matrices."""
    found = np.empty_like(rotations)
    transposed = to_reduced.T.copy()
    back = inverse(transposed)
    for k in range(len(rotations)):
        found[k] = np.rint(product(product(transposed, rotations[k]), back))
    return found
