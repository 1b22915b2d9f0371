"""Generation of a crystal from a seed and its number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs.generated.cell import CellParameters, bravais_lattice, cell_vectors, draw_cell, draw_quantile
from catalogs.generated.contents import Contents, draw_contents
from catalogs.generated.full_symmetry import (
    ANGLE_TOLERANCE_DEG,
    LENGTH_TOLERANCE_A,
    ROTATIONS,
    SITE_TOLERANCE_A,
    has_more_symmetry,
    reduce_cell,
)
from catalogs.generated.groups import Group, group
from catalogs.generated.placement import place
from catalogs.generated.statistics import Statistics, statistics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_UNIFORMS = 2048
"""Random numbers for the coordinates of one attempt."""
N_POINTS = 40
"""Points tried for each orbit."""
N_CELLS = 6
EXPANSION = 1.04
"""Contents that do not fit are tried again, each time in a cell larger by this factor."""
MOST_ATTEMPTS = 3000
"""Contents drawn before a group is given up."""
_TOLERANCES = np.array([LENGTH_TOLERANCE_A, ANGLE_TOLERANCE_DEG, SITE_TOLERANCE_A])


@dataclass(frozen=True, eq=False)
class GeneratedCrystal:
    """The asymmetric unit of a crystal in the reference setting of its group."""

    group: Group
    cell: CellParameters
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
    elements: Ints
    max_atoms: int


def stream(seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of a crystal, which depend on nothing but seed and number."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, number]))


def generate(choices: Choices, number: int) -> GeneratedCrystal | None:
    """Return crystal `number`, or None if no contents of its group fit."""
    random = stream(choices.seed, number)
    known = statistics()
    total = np.cumsum(choices.group_weights)
    drawn = int(choices.groups[np.searchsorted(total, random.random() * total[-1], side="right")])
    g = group(drawn)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        contents = draw_contents(g, known, choices.elements, choices.max_atoms, random)
        found = None if contents is None else _place_contents(g, contents, known, random)
        if contents is not None and found is not None:
            cell, first = found
            return GeneratedCrystal(
                g,
                cell,
                tuple(known.symbols[e] for e in contents.element.tolist()),
                first,
                tuple((g.multiplicity[contents.position] * g.n_centring).tolist()),
                attempt,
            )
    return None


def _place_contents(
    g: Group, contents: Contents, known: Statistics, random: np.random.Generator
) -> tuple[CellParameters, Floats] | None:
    """Return a cell and the first atom of each orbit, at the distances and with the symmetry they should have."""
    elements, kind = np.unique(contents.element, return_inverse=True)
    required_A = known.shortest_A[np.ix_(elements, elements)]
    atoms_A3 = float(known.atomic_volume_A3[contents.element] @ g.multiplicity[contents.position]) * g.n_centring
    lattice = bravais_lattice(g.number, g.name)
    volume_A3 = atoms_A3 * draw_quantile(known.volume_ratio, random)
    for _ in range(N_CELLS):
        cell = draw_cell(lattice, volume_A3, known, random)
        volume_A3 *= EXPANSION
        if cell is None:
            continue
        primitive_A = g.primitive @ cell_vectors(cell)
        change = reduce_cell(primitive_A)
        reduced_A = change @ primitive_A
        to_reduced = np.asarray(np.linalg.inv(change @ g.primitive), dtype=np.float64)
        is_placed, first, atoms, kinds = place(
            reduced_A,
            to_reduced,
            g.rotations,
            g.translations,
            g.directions,
            g.origin,
            g.first_image,
            g.image_operators,
            contents.position,
            kind,
            required_A,
            np.round(random.random(N_UNIFORMS), 6),
            N_POINTS,
        )
        if is_placed:
            rotations = np.rint(to_reduced.T @ g.point_rotations @ np.linalg.inv(to_reduced.T))
            if not has_more_symmetry(reduced_A, atoms, kinds, rotations, ROTATIONS, _TOLERANCES):
                return cell, first
    return None
