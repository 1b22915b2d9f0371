"""Generation of a crystal from a seed and its number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs.generated.groups import Group, group
from catalogs.generated.kernel import MOST_ATTEMPTS, make_crystal, pick, stream
from catalogs.generated.statistics import statistics
from catalogs.generated.tables import element_tables, group_tables

Floats = NDArray[np.float64]


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
    group_weights: Floats
    """Of space groups 1 to 230."""
    element_weights: Floats
    """By element of the statistics; 0 if it may not occur."""
    max_atoms: int


def generate(choices: Choices, number: int) -> GeneratedCrystal | None:
    """Return crystal `number`, or None if no contents of its group fit."""
    random = stream(choices.seed, number)
    g = group(pick(choices.group_weights, random) + 1)
    tables = group_tables(g.number)
    attempts, cell, position, element, first = make_crystal(
        tables, element_tables(), choices.element_weights, choices.max_atoms, random
    )
    if attempts > MOST_ATTEMPTS:
        return None
    symbols = statistics().symbols
    return GeneratedCrystal(
        g,
        tuple(cell.tolist()),
        tuple(symbols[e] for e in element.tolist()),
        first,
        tuple((g.multiplicity[position] * tables.n_centring).tolist()),
        attempts,
    )
