"""What can be generated: elements with statistics, and the fewest atoms of each space group. Loads no numpy."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path

STATISTICS = Path(__file__).with_name("statistics.json")
"""Made by `benchmarks.count_crystals`; the key `source` says of what."""
FEWEST_ATOMS = Path(__file__).with_name("fewest_atoms.csv")
"""Made by `catalogs.generated.derive_fewest_atoms`."""


@cache
def known_elements() -> tuple[str, ...]:
    """Return the symbols of the elements that can be drawn."""
    return tuple(json.loads(STATISTICS.read_text(encoding="utf-8"))["elements"])


@cache
def fewest_atoms(is_one_element: bool) -> tuple[int, ...]:
    """Return, for groups 1 to 230, the fewest atoms in the conventional cell that have no more symmetry."""
    with FEWEST_ATOMS.open(encoding="utf-8", newline="") as stream:
        column = "one_element" if is_one_element else "any_elements"
        return tuple(int(row[column]) for row in csv.DictReader(stream))
