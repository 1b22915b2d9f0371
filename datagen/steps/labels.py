"""Labels and bounds that follow from a crystal."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from curation.composition import atomic_fractions
from curation.crystal import Crystal


def composition(crystal: Crystal) -> NDArray[np.float32]:
    """Return the atomic fraction of each element, hydrogen first; occupancies count, charges and isotopes do not."""
    amounts: dict[str, float] = {}
    for species, occupancy in zip(crystal.species, crystal.occupancy.tolist(), strict=True):
        amounts[species] = amounts.get(species, 0.0) + occupancy
    return atomic_fractions(amounts).astype(np.float32)


def most_reflections(crystal: Crystal, d_min_A: float) -> int:
    """Return an upper bound of the reflections of a crystal, from its lattice alone.

    A sphere of radius Q holds at most as many lattice points as its surroundings to half a cell's diameter D hold
    cells: V 4/3 pi (Q + D/2)^3, with D at most |a*| + |b*| + |c*|; of each Friedel pair one counts.
    """
    diameter = float(np.linalg.norm(np.linalg.inv(crystal.lattice_A), axis=0).sum())
    return math.ceil(crystal.volume_A3 * 2 / 3 * math.pi * (1 / d_min_A + diameter / 2) ** 3)


def shard_reflections(most: Iterable[int], structures_per_shard: int) -> int:
    """Return an upper bound of the reflections of any shard, whichever crystals of these bounds it holds."""
    return max(1, sum(heapq.nlargest(structures_per_shard, most)))
