"""Labels of one structure that differ between datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from datagen.errors import StoreError
from datagen.share.curation_table import SourceRow
from datagen.share.finished import FinishedDataset

LABELS = ("formula", "space_group", "crystal_system", "n_atoms", "volume")
"""Functions of the structure and of the settings of curation, which a merge requires to be equal."""
VOLUME_TOLERANCE = 1e-5
"""Relative: a structure's cell is rounded to 1e-6 A, its label of volume is that of the cell as read."""


def refuse_contradictions(sources: Sequence[FinishedDataset], kept_row_of: Mapping[SourceRow, SourceRow]) -> None:
    """Raise if two rows with one structure hash have different labels: one of the datasets is wrong or forged."""
    for (number, row), (kept, kept_row) in kept_row_of.items():
        for label in LABELS:
            value, other = sources[number].column(label)[row], sources[kept].column(label)[kept_row]
            if not _agree(label, value, other):
                structure = str(sources[number].column("structure_hash")[row])
                raise StoreError(
                    f"{sources[number].path} cannot be merged with {sources[kept].path}: structure {structure!r} has "
                    f"{label} {str(value)!r} in row {row} of the first and {str(other)!r} in row {kept_row} of the "
                    "second; expected equal labels of equal structures: one dataset is wrong, check both with "
                    "`datagen verify --deep`"
                )


def _agree(label: str, value: Any, other: Any) -> bool:
    if label == "volume":
        return math.isclose(value, other, rel_tol=VOLUME_TOLERANCE)
    return bool(value == other)
