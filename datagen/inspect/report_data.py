"""Arrays of a dataset for the report, read one column at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.store import reading, schema

SHARDS_SAMPLED = 16
"""Shards read from larger datasets, evenly spaced: each costs a file for every column."""


class Content:
    """The arrays of a complete dataset, by name."""

    def __init__(self, dataset: Path) -> None:
        self.attributes, self.layout = reading.read_metadata(dataset)
        self._text = {v.name for v in schema.LABELS if schema.is_text(v)}
        self._group = reading.open_group(dataset)
        self._read: dict[str, NDArray[Any]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._group

    def column(self, name: str) -> NDArray[Any]:
        """Return all of a small array; text as strings."""
        if name not in self._read:
            values = np.asarray(self._array(name)[...])
            self._read[name] = np.array(reading.decode_text(values), dtype=object) if name in self._text else values
        return self._read[name]

    def row(self, name: str, row: int, first: int | None = None) -> NDArray[Any]:
        """Return one structure's values, or the first few of them."""
        return np.asarray(self._array(name)[row, slice(first)])

    def sample(self, name: str) -> NDArray[Any]:
        """Return the values of the structures of the sampled shards, concatenated."""
        return np.concatenate([np.asarray(self._array(name)[s.start : s.stop]).ravel() for s in self.sampled()])

    def sampled(self) -> list[range]:
        """Rows of the shards that `sample` looks into."""
        count = min(SHARDS_SAMPLED, self.layout.n_shards)
        return [self.layout.rows((2 * i + 1) * self.layout.n_shards // (2 * count)) for i in range(count)]

    def _array(self, name: str) -> Any:
        return self._group[name]
