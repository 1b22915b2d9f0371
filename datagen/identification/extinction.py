"""Extinction classes: space groups that a powder pattern without intensities cannot tell apart."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.labels import crystal_system_of

_TRIGONAL, _HEXAGONAL = 5, 6
_HKL = np.array(
    [h for h in product(range(5), repeat=3) if h > (0, 0, 0)]
    + [np.roll((0, 0, n), k) for n in range(5, 13) for k in range(3)]
)
"""Enough to tell all lattices, screws and glides: with indices up to 3 three classes fall together."""


@cache
def extinction_classes() -> NDArray[np.int64]:
    """Return for groups 1 to 230 (at 0 to 229) the first group with the same lattice system and absent reflections.

    Axes are exchanged where the setting is free (orthorhombic, cubic). In the hexagonal family the Laue class is not
    counted as known.
    """
    first: dict[tuple[int, bytes], int] = {}
    found = []
    for number in range(1, 231):
        system = crystal_system_of(number)
        family = _HEXAGONAL if system == _TRIGONAL else system
        is_free = 16 <= number <= 74 or number >= 195
        orders = permutations(range(3)) if is_free else iter([(0, 1, 2)])
        found.append(first.setdefault((family, min(_absent(number, order) for order in orders)), number))
    return np.array(found, dtype=np.int64)


def members(extinction_class: int) -> tuple[int, ...]:
    """Return the space groups of a class."""
    return tuple((np.flatnonzero(extinction_classes() == extinction_class) + 1).tolist())


def of_space_groups(probability: NDArray[np.float64]) -> dict[int, float]:
    """Return the probability of each class, most probable first, by those of groups 1 to 230."""
    sums = np.bincount(extinction_classes(), probability, minlength=231)
    order = np.argsort(-sums, kind="stable")
    return {int(number): float(sums[number]) for number in order if sums[number] > 0}


def _absent(number: int, order: tuple[int, ...]) -> bytes:
    operations = gemmi.find_spacegroup_by_number(number).operations()
    return bytes(operations.is_systematically_absent(hkl) for hkl in _HKL[:, order].tolist())
