"""Speed of `[[catalog]] kind = "generated"` against a plain loop, and what curation accepts of the crystals.

    python -m benchmarks.generated [--count 2000] [--curated 300] [--plain 30]
    python -m benchmarks.generated --table GENERATED.parquet --against OPEN.parquet --plot docs/generated.png

The plain loop draws the same contents and cells, keeps distances with numpy and looks for symmetry with spglib. The
last line is one JSON object: `crystals_per_s_core` and `plain_per_s_core` (records with their CIF text in a second of
one core's time), `attempts` (contents drawn for a crystal), `accepted_share` (by curation, with the group that was
drawn), `groups` and `fewest_of_a_group` (groups drawn, and how often the rarest, in 100,000 crystals).

With `--table`, a table of `datagen curate`: `rows`, `accepted_share`, `groups` and `fewest_of_a_group` of the rows
accepted, `reasons` of the others; with `--against` another table, also a plot of both and the medians.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray

from benchmarks._generated_plot import compare
from catalogs.config import GeneratedCatalog
from catalogs.generated.cif import cif_text
from catalogs.generated.crystal import Choices, GeneratedCrystal, generate
from catalogs.generated.groups import Group, group
from catalogs.generated.kernel import (
    EXPANSION,
    N_CELLS,
    N_POINTS,
    cell_vectors,
    draw_cell,
    draw_contents,
    pick,
    stream,
    uniform,
)
from catalogs.generated.records import choices_of, records
from catalogs.generated.statistics import statistics
from catalogs.generated.tables import element_tables, group_tables
from curation.curate import curate_record
from curation.settings import CurationSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_GROUP_DRAWS = 100_000
SHIFTS = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)], dtype=np.float64)
SYMPREC_A = 0.2


def main() -> None:
    """Run what the options say."""
    options = argparse.ArgumentParser(description="Generated crystals: speed and acceptance.")
    options.add_argument("--count", type=int, default=2000, help="crystals to time")
    options.add_argument("--curated", type=int, default=300, help="crystals to curate")
    options.add_argument("--plain", type=int, default=30, help="crystals of the plain loop")
    options.add_argument("--table", type=Path, help="table of `datagen curate` of generated crystals")
    options.add_argument("--against", type=Path, help="table of `datagen curate` of known crystals")
    options.add_argument("--plot", type=Path, help="PNG of both tables")
    given = options.parse_args()
    if given.table:
        result = compare(given.table, given.against, given.plot)
    else:
        result = speed(given.count, given.plain) | acceptance(given.curated) | groups_drawn()
    print(json.dumps(result))


def speed(count: int, n_plain: int) -> dict[str, float]:
    """Return crystals a second of one core's time, CIF text included, of both ways."""
    choices = choices_of(GeneratedCatalog(count=count))
    for number in range(1, 231):
        group_tables(number)
    generate(choices, 0)
    begun, attempts = time.process_time(), 0
    for number in range(count):
        crystal = generate(choices, number)
        if crystal is not None:
            cif_text(crystal, "crystal")
            attempts += crystal.attempts
    per_s = count / (time.process_time() - begun)
    print(f"compiled: {count} crystals, {per_s:.0f} a second and core")
    begun = time.process_time()
    for number in range(n_plain):
        cif_text(plain_crystal(choices, number), "crystal")
    plain_per_s = n_plain / (time.process_time() - begun)
    print(f"plain loop: {n_plain} crystals, {plain_per_s:.1f} a second and core")
    return {
        "crystals_per_s_core": round(per_s, 1),
        "plain_per_s_core": round(plain_per_s, 2),
        "attempts": round(attempts / count, 1),
    }


def acceptance(count: int) -> dict[str, float]:
    """Return the share of crystals that curation accepts with the group that was drawn."""
    good: collections.Counter[str] = collections.Counter()
    for record in records(GeneratedCatalog(count=count, seed=1)):
        verdict = curate_record(record, CurationSettings())
        drawn = re.search(r"_space_group_IT_number (\d+)", record.text)
        if verdict.status != "accepted" or drawn is None:
            good[verdict.reason or "not generated"] += 1
        else:
            good["accepted" if verdict.space_group == int(drawn[1]) else "another group"] += 1
    print("curation:", dict(good))
    return {"accepted_share": round(good["accepted"] / count, 4)}


def groups_drawn() -> dict[str, int]:
    """Return how many groups are drawn, and how often the rarest."""
    weights = choices_of(GeneratedCatalog(count=1)).group_weights
    counts = np.bincount([pick(weights, stream(0, number)) for number in range(N_GROUP_DRAWS)], minlength=230)
    return {"groups": int(np.count_nonzero(counts)), "fewest_of_a_group": int(counts.min())}


def plain_crystal(choices: Choices, number: int) -> GeneratedCrystal:
    """Return a crystal by numpy and spglib, from the same draws of contents and cells."""
    random = stream(choices.seed, number)
    g = group(pick(choices.group_weights, random) + 1)
    tables, known, attempts = group_tables(g.number), element_tables(), 0
    while True:
        attempts += 1
        position, element = draw_contents(tables, known, choices.element_weights, choices.max_atoms, random)
        multiplicity = g.multiplicity[position] * g.n_centring
        volume_A3 = float(known.atomic_volume_A3[element] @ multiplicity)
        cell = np.empty(6)
        for _ in range(N_CELLS if len(position) else 0):
            is_cell = draw_cell(tables.shapes, volume_A3, random, cell)
            volume_A3 *= EXPANSION
            first = _plain_points(g, cell_vectors(cell), position, element, random) if is_cell else None
            if first is not None:
                symbols = tuple(statistics().symbols[e] for e in element.tolist())
                return GeneratedCrystal(g, tuple(cell.tolist()), symbols, first, tuple(multiplicity.tolist()), attempts)


def _plain_points(g: Group, lattice_A: Floats, position: Ints, element: Ints, random: Any) -> Floats | None:
    shortest_A = element_tables().shortest_A
    atoms, kinds, first = np.empty((0, 3)), np.empty(0, dtype=np.int64), []
    for p, e in zip(position.tolist(), element.tolist(), strict=True):
        for _ in range(N_POINTS if g.n_free[p] else 1):
            x = g.directions[p] @ np.array([uniform(random) for _ in range(3)]) + g.origin[p]
            images = (g.rotations @ x + g.translations) % 1.0
            images = images[np.unique(np.round(images, 5) % 1.0, axis=0, return_index=True)[1]]
            found, kind = np.vstack([atoms, images]), np.append(kinds, np.full(len(images), e))
            d = images[:, None] - found
            r = np.linalg.norm(((d - np.rint(d))[:, :, None] + SHIFTS) @ lattice_A, axis=3)
            r[r < 1e-3] = np.inf
            if (r.min(axis=2) >= shortest_A[e, kind]).all():
                atoms, kinds = found, kind
                first.append(x)
                break
        else:
            return None
    dataset = spglib.get_symmetry_dataset((lattice_A, atoms, kinds), symprec=SYMPREC_A)
    return np.array(first) if dataset is not None and dataset.number == g.number else None


if __name__ == "__main__":
    main()
