"""Comparison of two stored rows, bit for bit."""

from __future__ import annotations

import numpy as np

from datagen.store import schema
from datagen.store.schema import Layout
from trainer.data.store import Dataset


def assert_same_row(a: Dataset, row_a: int, b: Dataset, row_b: int, *, patterns: int | None = None) -> None:
    """Assert that all variables of both rows are equal, of each augmentation the first `patterns`."""
    own = {v.name for v in schema.variables(_layout(b))}
    for variable in schema.variables(_layout(a)):
        if variable.dims[0] != "structure" or variable.name not in own:
            continue
        here, there = a.values(variable.name, row_a), b.values(variable.name, row_b)
        if patterns is not None and "augmentation" in variable.dims:
            there = there[:patterns]
        if schema.is_text(variable):
            here, there = (np.frombuffer(v.tobytes().rstrip(b"\0"), dtype=np.uint8) for v in (here, there))
        equal = here.tobytes() == there.tobytes()
        assert equal, f"{variable.name} differs between row {row_a} and row {row_b}"


def _layout(dataset: Dataset) -> Layout:
    return Layout.from_dict(dataset.attributes["layout"])
