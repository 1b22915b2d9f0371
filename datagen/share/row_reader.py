"""Read stored rows as the shard writer takes them, for another layout."""

from __future__ import annotations

import json
import math
from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.share.finished import FinishedDataset
from datagen.share.foreign_chunk import check_size, decode
from datagen.store import reading, schema
from datagen.store.density_codes import CODES as DENSITY_CODES
from datagen.store.schema import Layout, Variable
from datagen.store.shard_reader import ShardBytes, StoredChunks, Value

_DERIVED = ("has_density", "has_xrd_peaks", "n_reflections", "n_members", "n_scan_points")
"""Variables that the shard writer derives."""


class RowReader:
    """Rows of a finished dataset, in any order, fastest in ascending order; checks each shard's checksums.

    A shard's files are mapped once; memory holds its small variables and one structure's large ones.
    """

    def __init__(self, dataset: FinishedDataset, target: Layout, only: Container[str] | None = None) -> None:
        self._dataset, self._layout = dataset, dataset.layout
        own = {v.name: v for v in schema.variables(dataset.layout) if v.home == "shard"}
        self._wanted = [v for v in schema.variables(target) if v.name in own and (only is None or v.name in only)]
        read = {v.name for v in self._wanted} | (set(_DERIVED) & set(own))
        self._own = {name: own[name] for name in sorted(read)}
        self._shapes = {name: tuple(schema.shape(v, self._layout)[1:]) for name, v in self._own.items()}
        self._n_chunks = {n: schema.chunks_per_file(v, self._layout) for n, v in self._own.items() if v.chunk}
        self._n_augmentations = target.n_augmentations
        self._reason_for_none = (
            only is None and target.density_method is not None and dataset.layout.density_method is None
        )
        self._same_codec = _same_codec(dataset, target)
        self._shard = -1
        self._small: dict[str, NDArray[Any]] = {}
        self._large: dict[str, ShardBytes] = {}
        self._runs: dict[str, NDArray[Any]] = {}
        self._first = np.zeros(1, dtype=np.int64)
        """Of the shard's reflections, that of each structure, and their number."""

    def values(self, row: int) -> dict[str, NDArray[Any]]:
        """Return the arrays by variable, bit for bit as stored, of the first augmentations."""
        return {name: value for name, value in self._row(row, set()).items() if isinstance(value, np.ndarray)}

    def for_writer(self, row: int) -> dict[str, Value]:
        """Return values for `ShardWriter.add`; chunks with the same codec in both layouts are not decoded."""
        return self._row(row, self._same_codec)

    def _row(self, row: int, undecoded: Container[str]) -> dict[str, Value]:
        self._enter(row // self._layout.structures_per_shard)
        found: dict[str, Value] = {}
        for variable in self._wanted:
            if variable.name in _DERIVED:
                continue
            value: Value | None
            if variable.is_run:
                place = row % self._layout.structures_per_shard
                value = self._run(self._own[variable.name])[self._first[place] : self._first[place + 1]]
            else:
                value = self._stored(variable, row) if variable.name in undecoded else self._value(variable, row)
            if value is not None:
                found[variable.name] = value
        if self._reason_for_none:
            found["density_reason"] = np.asarray(DENSITY_CODES["none_given"], dtype=np.uint8)
        return found

    def _value(self, variable: Variable, row: int) -> NDArray[Any] | None:
        dims = variable.dims[1:]
        if variable.chunk is None:
            if variable.optional and not bool(self._count(_FLAG[variable.name], row)):
                return None
            value = np.asarray(self._small[variable.name][row % self._layout.structures_per_shard])
        else:
            stored = self._stored(variable, row)
            if stored is None:
                return None
            own = self._own[variable.name]
            assert own.chunk is not None
            dtype = np.dtype(own.dtype)
            parts = [decode(self._at(own), chunk, own.chunk[1:], dtype, own.fill_value) for chunk in stored.chunks]
            whole = parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, *own.chunk[2:]), dtype), *parts])
            value = whole[: len(stored)]
        return value[: self._n_augmentations] if dims and dims[0] == "augmentation" else value

    def _stored(self, variable: Variable, row: int) -> StoredChunks | None:
        own = self._own[variable.name]
        assert own.chunk is not None
        shape = self._shapes[own.name]
        if own.dims[1] in schema.RAGGED:
            count = self._count(f"n_{own.dims[1]}s", row)
            if not 0 <= count <= shape[0]:
                raise StoreError(
                    f"{self._at(own)}: expected at most {shape[0]} {own.dims[1]}s of row {row}, found {count}; "
                    "fetch the dataset again"
                )
            shape = (count, *shape[1:])
        elif own.optional and not self._count(_FLAG[own.name], row):
            return None
        used = -(-shape[0] // own.chunk[1])
        per_shard = self._layout.structures_per_shard
        first = row % per_shard * (self._n_chunks[own.name] // per_shard)
        file = self._large.get(own.name)
        chunks = tuple(None if file is None else file.chunk(first + part) for part in range(used))
        n_bytes = math.prod(own.chunk) * np.dtype(own.dtype).itemsize
        for chunk in chunks:
            check_size(self._at(own), chunk, n_bytes)
        return StoredChunks(shape, np.dtype(own.dtype), chunks)

    def _run(self, own: Variable) -> NDArray[Any]:
        """Return an array of all reflections of the shard; decoded once."""
        if own.name not in self._runs:
            assert own.chunk is not None
            dtype, file = np.dtype(own.dtype), self._large.get(own.name)
            n_bytes = math.prod(own.chunk) * dtype.itemsize
            parts = [np.empty((0, *own.chunk[2:]), dtype)]
            for number in range(-(-int(self._first[-1]) // own.chunk[1])):
                chunk = None if file is None else file.chunk(number)
                check_size(self._at(own), chunk, n_bytes)
                parts.append(decode(self._at(own), chunk, own.chunk[1:], dtype, own.fill_value))
            self._runs[own.name] = np.concatenate(parts)
        return self._runs[own.name]

    def _at(self, variable: Variable) -> str:
        return f"{self._dataset.path}/{variable.name}"

    def _count(self, name: str, row: int) -> int:
        return int(self._small[name][row % self._layout.structures_per_shard])

    def _enter(self, shard: int) -> None:
        if shard == self._shard:
            return
        self._small, self._large, self._runs = {}, {}, {}  # free the last shard before reading the next
        listed = self._dataset.receipts[shard].files
        keys = {name: schema.chunk_key(variable, shard) for name, variable in self._own.items()}
        stored_files = self._dataset.bytes_of({key: listed[key] for key in keys.values() if key in listed})
        for name, variable in self._own.items():
            data = stored_files.get(keys[name])
            if variable.chunk is None:
                whole = schema.file_shape(variable, self._layout)
                self._small[name] = decode(
                    self._at(variable), data, whole, np.dtype(variable.dtype), variable.fill_value
                )
            elif data is not None:
                self._large[name] = ShardBytes(f"{self._dataset.path}/{keys[name]}", data, self._n_chunks[name])
        self._first = self._firsts()
        self._shard = shard

    def _firsts(self) -> NDArray[np.int64]:
        """Return the place of each structure's first reflection in the shard, and the number of all."""
        counts = self._small.get("n_reflections", np.zeros(0)).astype(np.int64)
        found = np.concatenate([[0], np.cumsum(counts)])
        slots = schema.sizes(self._layout)["reflection"]
        if (counts < 0).any() or (self._layout.format_version > 1 and found[-1] > slots):
            raise StoreError(
                f"{self._dataset.path}/n_reflections: expected at most {slots} reflections of a shard, found "
                f"{counts.tolist()!s:.80}; fetch the dataset again"
            )
        return found


def _same_codec(dataset: FinishedDataset, target: Layout) -> set[str]:
    """Return the sharded variables whose chunks have one type, shape and codec in both."""
    arrays = json.loads(dataset.path.read("zarr.json"))["consolidated_metadata"]["metadata"]
    found = set()
    for variable in schema.variables(target):
        if variable.chunk is not None and not variable.is_run and variable.name in arrays:
            metadata = reading.array_metadata(variable, target)
            if all(arrays[variable.name].get(key) == metadata[key] for key in ("data_type", "fill_value", "codecs")):
                found.add(variable.name)
    return found


_FLAG = {
    "density": "has_density",
    "density_electrons": "has_density",
    "density_lattice": "has_density",
    "xrd_peaks": "has_xrd_peaks",
}
