"""Counts and quantiles of known crystals that generated ones follow, and the tables made from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from catalogs.generated.groups import N_GROUPS, group
from catalogs.generated.limits import STATISTICS

Floats = NDArray[np.float64]

GROUP_PRIOR = 30.0
"""Crystals of a group whose orbits count as much as those of all groups of its crystal system."""
POSITION_PRIOR = 30.0
"""Orbits of a group on its positions that count as much as the mean over all groups."""
PAIR_PRIOR = 5.0
"""Expected crystals with two elements that count as much as those counted."""
ORBITS_POOL = 50
"""Crystals from which the numbers of elements are counted; if too few have a number of orbits, near ones count too."""
DEFAULT_CONTACT = 0.9
"""Shortest contact of two elements that rarely occur together, as a fraction of the sum of their covalent radii."""
_LAST_OF_SYSTEM = (2, 15, 74, 142, 167, 194, 230)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Distributions of all properties that are drawn; index i of an element is that of `symbols[i]`."""

    source: str
    group_weight: Floats
    """Crystals of each space group."""
    n_orbits: tuple[Floats, ...]
    """By group: weights of 1, 2, 3, ... occupied orbits."""
    position_weight: tuple[Floats, ...]
    """By group: weight of each Wyckoff position for an orbit."""
    n_elements: Floats
    """(number of orbits, number of elements): weights, both counted from 1."""
    symbols: tuple[str, ...]
    element_weight: Floats
    """Crystals with each element."""
    affinity: Floats
    """(element, element): crystals with both, relative to what independent elements would give."""
    orbits_per_crystal: Floats
    """Mean number of orbits of an element in crystals that have it."""
    share: Floats
    """Mean atomic fraction of an element in crystals that have it."""
    atomic_volume_A3: Floats
    volume_ratio: Floats
    """Quantiles of the cell's volume over the sum of its atoms'."""
    shapes: dict[str, Floats]
    """By Bravais lattice: quantiles of ln(b/a), ln(c/a), alpha, beta, gamma of the conventional cell."""
    shortest_A: Floats
    """(element, element): shortest distance that is not unusual."""


@cache
def statistics() -> Statistics:
    """Return the statistics that the package includes."""
    raw = json.loads(STATISTICS.read_text(encoding="utf-8"))
    symbols = tuple(raw["elements"])
    weight = np.array(list(raw["elements"].values()), dtype=np.float64)
    radius = np.array([gemmi.Element(s).covalent_r for s in symbols])
    ratio = _pair_table(raw["contact_ratio"], symbols, DEFAULT_CONTACT)
    n_crystals = float(sum(raw["space_groups"]))
    expected = weight[:, None] * weight / n_crystals
    together = _pair_table(raw["pairs"], symbols, 0.0)
    positions = [np.array(counts, dtype=np.float64) for counts in raw["positions"]]
    prior = _position_prior(positions, raw["space_groups"])
    return Statistics(
        source=raw["source"],
        group_weight=np.array(raw["space_groups"], dtype=np.float64),
        n_orbits=tuple(_orbit_weights(raw["orbits"], number) for number in range(1, N_GROUPS + 1)),
        position_weight=tuple(
            counts + POSITION_PRIOR * p / p.sum() for counts, p in zip(positions, prior, strict=True)
        ),
        n_elements=_element_number_weights(raw["n_elements"]),
        symbols=symbols,
        element_weight=weight,
        affinity=(together + PAIR_PRIOR) / (expected + PAIR_PRIOR),
        orbits_per_crystal=np.array([raw["element_orbits"][s] for s in symbols]) / weight,
        share=np.array([raw["element_share"][s] for s in symbols]),
        atomic_volume_A3=np.array([raw["atomic_volume_A3"][s] for s in symbols]),
        volume_ratio=np.array(raw["volume_ratio"]),
        shapes={lattice: np.array(rows) for lattice, rows in raw["shapes"].items()},
        shortest_A=ratio * (radius[:, None] + radius),
    )


def _pair_table(values: dict[str, Any], symbols: tuple[str, ...], default: float) -> Floats:
    """Return a symmetric table from values by `A-B`."""
    index = {s: i for i, s in enumerate(symbols)}
    table = np.full((len(symbols), len(symbols)), default)
    for pair, value in values.items():
        i, j = (index[s] for s in pair.split("-"))
        table[i, j] = table[j, i] = value
    return table


def _orbit_weights(orbits: list[list[int]], number: int) -> Floats:
    """Return the weights of 1, 2, 3, ... orbits in a group, with those of its crystal system as prior."""
    last = next(n for n in _LAST_OF_SYSTEM if number <= n)
    first = max((n + 1 for n in _LAST_OF_SYSTEM if n < number), default=1)
    longest = max(map(len, orbits))
    rows = np.array([row + [0] * (longest - len(row)) for row in orbits], dtype=np.float64)
    pooled = rows[first - 1 : last].sum(axis=0)
    found: Floats = rows[number - 1] + GROUP_PRIOR * pooled / pooled.sum()
    return found


def _element_number_weights(counted: list[list[int]]) -> Floats:
    """Return the weights of 1, 2, 3, ... elements for each number of orbits, from enough crystals."""
    longest = max(map(len, counted))
    rows = np.array([row + [0] * (longest - len(row)) for row in counted], dtype=np.float64)
    found = np.empty_like(rows)
    for i in range(len(rows)):
        reach = 0
        while rows[max(0, i - reach) : i + reach + 1].sum() < ORBITS_POOL and reach < len(rows):
            reach += 1
        found[i] = rows[max(0, i - reach) : i + reach + 1].sum(axis=0)
    return found


def _position_prior(positions: list[Floats], n_crystals: list[int]) -> list[Floats]:
    """Return how often a position is occupied on average over all groups, by its number of free parameters."""
    free = [group(number).n_free for number in range(1, N_GROUPS + 1)]
    use = np.zeros(4)
    offered = np.zeros(4)
    for counts, n_free, n in zip(positions, free, n_crystals, strict=True):
        use += np.bincount(n_free, weights=counts, minlength=4)
        offered += np.bincount(n_free, minlength=4) * n
    return [(use / offered)[n_free] for n_free in free]
