"""Distances between space groups in the graph of maximal subgroups.

The graph joins two types of space group if one is a maximal subgroup of the other, translationengleiche (t) or
klassengleiche (k). `subgroup_edges.csv` lists its 1237 edges; `benchmarks/subgroup_graph.py` computes them from the
symmetry operations of the 230 groups. Two of them are absent from the tables that PyXtal 1.x ships (1235 edges): 22-97
(I422 keeps F222 at index 2) and 212-213 (the enantiomorph inside P4_332 at index 27).
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

SPACE_GROUPS = 230


def subgroup_edges() -> list[tuple[int, int, str]]:
    """Return pairs of space-group numbers, lower first, and the kind of step: "t", "k" or "tk"."""
    with files("trainer.training").joinpath("subgroup_edges.csv").open() as source:
        return [(int(row["group"]), int(row["other"]), row["kind"]) for row in csv.DictReader(source)]


@cache
def hop_matrix() -> NDArray[np.int64]:
    """Return D[i, j], the number of steps between space groups i + 1 and j + 1, 0 to 6."""
    neighbours = np.zeros((SPACE_GROUPS, SPACE_GROUPS), dtype=bool)
    for group, other, _ in subgroup_edges():
        neighbours[group - 1, other - 1] = neighbours[other - 1, group - 1] = True
    distance = np.full((SPACE_GROUPS, SPACE_GROUPS), -1, dtype=np.int64)
    reached = np.eye(SPACE_GROUPS, dtype=bool)
    steps = 0
    while (fresh := reached & (distance < 0)).any():
        distance[fresh] = steps
        reached = (reached.astype(np.int64) @ neighbours.astype(np.int64)) > 0
        steps += 1
    distance.flags.writeable = False
    return distance
