"""Labels and provenance of the structures, as columns of the store."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.composition import atomic_fractions
from curation.crystal import Crystal
from curation.labels import N_ELEMENTS
from datagen.store.schema import SPLITS

if TYPE_CHECKING:
    from curation.verdict import Verdict


def label_columns(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return a column for each of `schema.LABELS`, with a row for each accepted verdict in the given order."""
    return {
        "source": [v.source for v in verdicts],
        "source_id": [v.source_id for v in verdicts],
        "licence": [v.licence for v in verdicts],
        "structure_hash": [v.structure_hash or "" for v in verdicts],
        "group": [v.group or "" for v in verdicts],
        "formula": [v.formula or "" for v in verdicts],
        "split": np.array([SPLITS.index(v.split or "") for v in verdicts], dtype=np.uint8),
        "crystal_system": np.array([v.crystal_system for v in verdicts], dtype=np.uint8),
        "space_group": np.array([v.space_group for v in verdicts], dtype=np.uint8),
        "niggli": np.array([v.niggli for v in verdicts], dtype=np.float64).reshape(-1, 6),
        "volume": np.array([v.volume for v in verdicts], dtype=np.float64),
        "n_atoms": np.array([v.n_atoms for v in verdicts], dtype=np.int32),
        "composition": np.array([composition(v.crystal) for v in verdicts], dtype=np.float32).reshape(-1, N_ELEMENTS),
    }


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
