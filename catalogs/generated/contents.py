"""Draws of what a crystal consists of: occupied Wyckoff positions and their elements."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from catalogs.generated.draws import Stream, normal, pick, uniform
from catalogs.generated.tables import ElementTables, GroupTables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPREAD = 0.5
"""Standard deviation of ln(multiplicity) and ln(share) when orbits are matched to elements by both."""


@numba.njit(cache=True, error_model="numpy", nogil=True)
def draw_contents(
    g: GroupTables, known: ElementTables, element_weight: Floats, max_atoms: int, s: Stream
) -> tuple[Ints, Ints]:
    """Return the position and the element of each orbit, fixed positions first; nothing if no orbit fits.

    Elements of weight 0 are not drawn. Orbits that would make more than `max_atoms` in the conventional cell are not
    added.
    """
    position = _draw_positions(g, max_atoms // g.n_centring, s)
    n = len(position)
    if n == 0:
        return position, position
    wanted = pick(known.n_elements[min(n, len(known.n_elements)) - 1], s) + 1
    elements = _draw_elements(known, element_weight, min(wanted, n), s)
    element = _assign(g.multiplicity, position, elements, known, s)
    for i in range(1, n):  # insertion sort by free parameters
        j, p, e = i, position[i], element[i]
        while j > 0 and g.n_free[position[j - 1]] > g.n_free[p]:
            position[j], element[j] = position[j - 1], element[j - 1]
            j -= 1
        position[j], element[j] = p, e
    return position, element


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _draw_positions(g: GroupTables, most: int, s: Stream) -> Ints:
    """Return the positions of orbits with at most so many atoms in the primitive cell."""
    wanted = pick(g.n_orbits, s) + 1
    weights = g.position_weight.copy()
    found = np.empty(wanted, dtype=np.int64)
    for n in range(wanted):
        for i in range(len(weights)):
            if g.multiplicity[i] > most:
                weights[i] = 0.0
        position = pick(weights, s)
        if position < 0:
            return found[:n]
        found[n] = position
        most -= g.multiplicity[position]
        if g.n_free[position] == 0:
            weights[position] = 0.0
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _draw_elements(known: ElementTables, element_weight: Floats, wanted: int, s: Stream) -> Ints:
    """Return different elements, each drawn by its affinity to those before it."""
    weights = element_weight.copy()
    found = np.empty(wanted, dtype=np.int64)
    for n in range(wanted):
        element = pick(weights, s)
        if element < 0:
            return found[:n]
        found[n] = element
        for i in range(len(weights)):
            weights[i] *= known.affinity[element, i]
        weights[element] = 0.0
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _assign(multiplicity: Ints, position: Ints, elements: Ints, known: ElementTables, s: Stream) -> Ints:
    """Return an element for each orbit: every element once, large orbits to elements of large share, then at random."""
    n, n_elements = len(position), len(elements)
    order = np.arange(n)
    for i in range(n - 1):  # shuffle
        j = i + int(uniform(s) * (n - i))
        order[i], order[j] = order[j], order[i]
    size, share = np.empty(n_elements), np.empty(n_elements)
    for i in range(n_elements):
        size[i] = np.log(multiplicity[position[order[i]]]) + SPREAD * normal(s)
        share[i] = known.log_share[elements[i]] + SPREAD * normal(s)
    found = np.empty(n, dtype=np.int64)
    by_size, by_share = np.argsort(size), np.argsort(share)
    for i in range(n_elements):
        found[order[by_size[i]]] = elements[by_share[i]]
    weights = known.orbits_per_crystal[elements]
    for i in range(n_elements, n):
        found[order[i]] = elements[pick(weights, s)]
    return found
