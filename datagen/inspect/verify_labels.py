"""Labels in the arrays against those of the curation table, which both state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.store.bounded_table import CURATION_TABLE, read_batches
from datagen.store.damaged import damage_explained
from datagen.store.location import Where, location_of
from datagen.store.reading import open_array
from datagen.store.schema import NIGGLI, SPLITS

LABELS = ("structure_hash", "group", "formula", "split", "space_group", "crystal_system", "n_atoms", "volume")


def label_mistakes(dataset: Where) -> list[str]:
    """Return a sentence for each label whose array and column differ, with the first row where they do."""
    columns: dict[str, tuple[str, int | None]] = {name: (name, None) for name in LABELS}
    columns |= {f"niggli_{part}": ("niggli", number) for number, part in enumerate(NIGGLI)}
    found = []
    for column, (variable, part) in columns.items():
        with damage_explained(dataset, f"the label {variable}"):
            stored = np.asarray(open_array(dataset, variable)[:])
            off = _first_difference(stored if part is None else stored[:, part], _stated(dataset, column))
        if off is not None:
            row, kept, stated = off
            found.append(f"{variable}: row {row} has {kept!r}, {CURATION_TABLE} states {stated!r}; expected the same")
    return found


def _stated(dataset: Where, column: str) -> Iterator[tuple[int, Any]]:
    """Yield rows and values of a column; what was withheld is left out."""
    with location_of(dataset).arrow_file(CURATION_TABLE) as table:
        for batch in read_batches(table, ["row", column]):
            for row, value in zip(batch["row"].to_pylist(), batch[column].to_pylist(), strict=True):
                if row is not None and value is not None:
                    yield row, SPLITS.index(value) if column == "split" else value


def _first_difference(stored: NDArray[Any], stated: Iterator[tuple[int, Any]]) -> tuple[int, Any, Any] | None:
    """Return row and both values; texts are stored as bytes, padded with zeros."""
    for row, value in stated:
        if stored.ndim == 2:
            kept: Any = bytes(stored[row]).rstrip(b"\0").decode(errors="backslashreplace")
            same = kept == value
        else:
            kept = stored[row].item()
            same = kept == stored.dtype.type(value).item()
        if not same:
            return row, kept, value
    return None
