"""Derivation of the fewest atoms in the conventional cell with which a crystal has no more symmetry than its group.

`python -m catalogs.generated.derive_fewest_atoms > catalogs/generated/fewest_atoms.csv` writes the table: with a
different element on each orbit, and with one element alone.

Sets of Wyckoff positions are tried in the order of their atoms, with random points in a random cell so large that the
search for further symmetry finds only what the positions make necessary.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator

import numpy as np

from catalogs.generated.groups import N_GROUPS, Group, group
from catalogs.generated.kernel import (
    cell_vectors,
    change_to_reduced,
    draw_cell,
    has_more_symmetry,
    place,
    rotation_codes,
    stream,
)
from catalogs.generated.tables import GroupTables, group_tables

VOLUME_A3 = 30_000.0
N_TRIALS = 4
MOST_ORBITS = 6


def main() -> None:
    """Write the table."""
    print("group,any_elements,one_element")
    for number in range(1, N_GROUPS + 1):
        fewest = [_fewest(group(number), is_one_element) for is_one_element in (False, True)]
        print(number, *fewest, sep=",", flush=True)


def _fewest(g: Group, is_one_element: bool) -> int:
    tables = group_tables(g.number)
    for n_atoms, positions in _contents(g):
        if any(_has_the_group(tables, positions, is_one_element, trial) for trial in range(N_TRIALS)):
            return n_atoms * g.n_centring
    sys.exit(f"group {g.number}: expected contents of at most {MOST_ORBITS} orbits, found none")


def _contents(g: Group) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield atoms in the primitive cell and positions of sets of orbits, the smallest first."""
    queue: list[tuple[int, tuple[int, ...]]] = [(int(m), (i,)) for i, m in enumerate(g.multiplicity.tolist())]
    heapq.heapify(queue)
    while queue:
        n_atoms, positions = heapq.heappop(queue)
        yield n_atoms, positions
        if len(positions) < MOST_ORBITS:
            last = positions[-1]
            for i in range(last + int(g.n_free[last] == 0), len(g.multiplicity)):
                heapq.heappush(queue, (n_atoms + int(g.multiplicity[i]), (*positions, i)))


def _has_the_group(g: GroupTables, positions: tuple[int, ...], is_one_element: bool, trial: int) -> bool:
    """Return whether random points on the positions have no more symmetry than the group."""
    random, cell = stream(0, trial), np.empty(6)
    if not draw_cell(g.shapes, VOLUME_A3, random, cell):
        return False
    position = np.array(positions, dtype=np.int64)
    kind = np.zeros_like(position) if is_one_element else np.arange(len(position))
    n_atoms = int(g.multiplicity[position].sum())
    atoms, kinds = np.empty((n_atoms, 3)), np.empty(n_atoms, dtype=np.int64)
    required_A, first = np.full((len(position), len(position)), 1.0), np.empty((len(position), 3))
    reduced_A, to_reduced = change_to_reduced(g, cell_vectors(cell))
    if not place(reduced_A, to_reduced, g, position, kind, required_A, random, first, atoms, kinds):
        return False
    return not has_more_symmetry(reduced_A, atoms, kinds, rotation_codes(g.point_rotations, to_reduced))


if __name__ == "__main__":
    main()
