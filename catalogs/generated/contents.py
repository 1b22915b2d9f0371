"""Draws of what a crystal consists of: occupied Wyckoff positions and their elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs.generated.groups import Group
from catalogs.generated.statistics import Statistics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPREAD = 0.5
"""Standard deviation of ln(multiplicity) and ln(share) when orbits are matched to elements by both."""


@dataclass(frozen=True, eq=False)
class Contents:
    """Occupied orbits, fixed positions first, and the element of each as an index of the statistics' symbols."""

    position: Ints
    element: Ints


def draw_contents(
    group: Group, statistics: Statistics, allowed: Ints, max_atoms: int, random: np.random.Generator
) -> Contents | None:
    """Return random contents of a group's cell with elements of `allowed`; None if they are too many atoms."""
    position = _draw_positions(group, statistics, random)
    if position is None or group.multiplicity[position].sum() * group.n_centring > max_atoms:
        return None
    weights = statistics.n_elements[min(len(position), len(statistics.n_elements)) - 1]
    n_elements = min(_pick(weights, random) + 1, len(position), len(allowed))
    elements = _draw_elements(statistics, allowed, n_elements, random)
    element = _assign(group.multiplicity[position], elements, statistics, random)
    order = np.argsort(group.n_free[position], kind="stable")
    return Contents(position[order], element[order])


def _draw_positions(group: Group, statistics: Statistics, random: np.random.Generator) -> Ints | None:
    n_orbits = _pick(statistics.n_orbits[group.number - 1], random) + 1
    weights = statistics.position_weight[group.number - 1].copy()
    found = []
    for _ in range(n_orbits):
        if not weights.any():
            return None
        position = _pick(weights, random)
        found.append(position)
        if group.n_free[position] == 0:
            weights[position] = 0.0
    return np.array(found, dtype=np.int64)


def _draw_elements(statistics: Statistics, allowed: Ints, n_elements: int, random: np.random.Generator) -> Ints:
    """Return different elements, each drawn by its affinity to those before it."""
    weights = np.zeros(len(statistics.symbols))
    weights[allowed] = statistics.element_weight[allowed]
    found = []
    for _ in range(n_elements):
        element = _pick(weights, random)
        found.append(element)
        weights *= statistics.affinity[element]
        weights[found] = 0.0
    return np.array(found, dtype=np.int64)


def _assign(multiplicity: Ints, elements: Ints, statistics: Statistics, random: np.random.Generator) -> Ints:
    """Return an element for each orbit: every element once, large orbits to elements of large share, then at random."""
    n = len(multiplicity)
    first = random.permutation(n)[: len(elements)]
    by_size = first[np.argsort(np.log(multiplicity[first]) + SPREAD * random.standard_normal(len(first)))]
    by_share = elements[np.argsort(np.log(statistics.share[elements]) + SPREAD * random.standard_normal(len(elements)))]
    found = np.empty(n, dtype=np.int64)
    found[by_size] = by_share
    others = np.setdiff1d(np.arange(n), first)
    more = np.cumsum(statistics.orbits_per_crystal[elements])
    found[others] = elements[np.searchsorted(more, random.random(len(others)) * more[-1], side="right")]
    return found


def _pick(weights: Floats, random: np.random.Generator) -> int:
    total = np.cumsum(weights)
    return int(np.searchsorted(total, random.random() * total[-1], side="right"))
