"""Comparison of two stored rows, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.store import reading, schema
from trainer.data.store import Dataset


def assert_same_row(a: Dataset, row_a: int, b: Dataset, row_b: int, *, patterns: int | None = None) -> None:
    """Every variable that both have; of those by augmentation the first `patterns`."""
    a_layout, b_layout = (reading.read_layout(Path(str(dataset.path))) for dataset in (a, b))
    own = {v.name for v in schema.variables(b_layout)}
    for variable in schema.variables(a_layout):
        if variable.dims[0] != "structure" or variable.name not in own:
            continue
        here, there = a.values(variable.name, row_a), b.values(variable.name, row_b)
        if patterns is not None and "augmentation" in variable.dims:
            there = there[:patterns]
        if schema.is_text(variable):
            here, there = (np.frombuffer(v.tobytes().rstrip(b"\0"), dtype=np.uint8) for v in (here, there))
        equal = here.tobytes() == there.tobytes()
        assert equal, f"{variable.name} differs between row {row_a} and row {row_b}"
