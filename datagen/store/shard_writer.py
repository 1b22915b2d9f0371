"""Writing of one shard: structures into private files, renamed when complete, the receipt last."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.store import files as disk
from datagen.store import ledger, schema
from datagen.store.shard_file import ShardFile, encode_chunk, is_fill, write_file
from datagen.store.shard_reader import StoredChunks, Value

PARTIAL = ".partial"
"""Folder of incomplete files below the dataset; it may be deleted while no run is active."""


COUNTED = {
    "n_reflections": ("reflection_d", "reflection_two_theta"),
    "n_members": ("member_intensity",),
    "n_scan_points": ("scan_intensity",),
}
"""Counts, and the arrays that they are the lengths of, by format."""


class ShardWriter:
    """Writes the structures of one shard in the order of their rows; `commit` makes them part of the dataset.

    Use it in a `with` statement: leaving without `commit` leaves no trace. Memory holds one structure's arrays, the
    shard's small ones and its reflections.
    """

    def __init__(self, dataset: Path, layout: schema.Layout, shard: int) -> None:
        self.dataset = dataset
        self.layout = layout
        self.shard = shard
        self.rows = layout.rows(shard)
        self._variables = {v.name: v for v in schema.variables(layout) if v.home == "shard"}
        self._folder = dataset / PARTIAL / f"{shard:05d}-{uuid.uuid4().hex}"
        self._count = 0
        self._n_densities = 0
        self._sharded: dict[str, ShardFile] = {}
        self._small: dict[str, NDArray[Any]] = {}
        self._runs: dict[str, list[NDArray[Any]]] = {name: [] for name, v in self._variables.items() if v.is_run}
        self._sizes = schema.sizes(layout)
        self._per_structure: dict[str, int] = {}
        """Chunks of a sharded variable."""
        for name, variable in self._variables.items():
            if variable.chunk is None:
                whole = schema.file_shape(variable, layout)
                self._small[name] = np.full(whole, variable.fill_value, dtype=variable.dtype)
            else:
                count = schema.chunks_per_file(variable, layout)
                self._sharded[name] = ShardFile(self._folder / name, count)
                self._per_structure[name] = count // layout.structures_per_shard

    def add(self, values: Mapping[str, Value]) -> None:
        """Add the next structure's arrays by variable, without the axis `structure`; stored chunks are not decoded.

        Arrays along `reflection` are as long as there are reflections. Flags and counts (`has_density`,
        `has_xrd_peaks`, `n_reflections`) follow from what is given.
        """
        if self._count == len(self.rows):
            raise ValueError(f"shard {self.shard} is full: it holds {len(self.rows)} structures")
        complete: dict[str, Value] = {**values, **self._derived(values)}
        self._check(complete)
        with disk.disk_errors_explained(self.dataset):
            for name, value in complete.items():
                if isinstance(value, StoredChunks):
                    self._pass_chunks(name, value)
                elif name in self._small:
                    self._small[name][self._count] = value
                elif name in self._runs:
                    self._runs[name].append(value.astype(self._variables[name].dtype))
                else:
                    self._add_chunks(self._variables[name], value)
        self._n_densities += "density" in values
        self._count += 1

    def commit(self, key: str, notes: dict[str, Any] | None = None) -> ledger.Receipt:
        """Move the files into place and write the receipt, last; doing a shard twice changes nothing."""
        if self._count != len(self.rows):
            raise ValueError(f"shard {self.shard}: {self._count} of {len(self.rows)} structures were added")
        with disk.disk_errors_explained(self.dataset):
            written = self._close_files()
            receipt = ledger.Receipt(
                shard=self.shard,
                key=key,
                first_row=self.rows.start,
                n_structures=len(self.rows),
                n_densities=self._n_densities,
                files={schema.chunk_key(self._variables[name], self.shard): entry for name, entry in written.items()},
                notes=notes or {},
            )
            before = ledger.read(self.dataset, self.shard)
            if before is not None and before.key == key and not ledger.damages(self.dataset, before.files, deep=False):
                if before != receipt:
                    raise StoreError(_not_repeatable(self.dataset, before, receipt))
                self._discard()
                return before
            ledger.revoke(self.dataset, self.shard)
            self._move_into_place(list(written))
            ledger.commit(self.dataset, receipt)
            self._discard()
        return receipt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._discard()

    def _derived(self, values: Mapping[str, Value]) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        for name in ("density", "xrd_peaks"):
            if f"has_{name}" in self._variables:
                found[f"has_{name}"] = np.asarray(name in values)
        for count, arrays in COUNTED.items():
            for counted in arrays:
                if count in self._variables and counted in values:
                    found[count] = np.asarray(len(values[counted]), dtype=np.int32)
        return found

    def _check(self, values: Mapping[str, Value]) -> None:
        reason = values.get("density_reason")
        if isinstance(reason, np.ndarray) and int(reason) != 0 and "density" in values:
            raise ValueError(f"shard {self.shard}, structure {self._count}: a density and a reason for having none")
        if unknown := sorted(set(values) - set(self._variables)):
            raise ValueError(f"shard {self.shard}: this dataset has no variable {', '.join(unknown)}")
        needed = {n for n, v in self._variables.items() if not v.optional or set(v.dims) & set(schema.RAGGED)}
        if "density" in values:
            needed |= {n for n in self._variables if n.startswith("density_")}
        if missing := sorted(needed - set(values)):
            raise ValueError(f"shard {self.shard}, structure {self._count}: no values for {', '.join(missing)}")
        counts = {dim: values.get(f"n_{dim}s") for dim in schema.RAGGED}
        ragged = {dim: int(count) for dim, count in counts.items() if isinstance(count, np.ndarray)}
        for dim, used in ragged.items():
            if used > (slots := self._sizes[dim]):
                raise StoreError(
                    f"shard {self.shard}, structure {self._count}: {used} entries do not fit the {slots} slots of "
                    f"{dim}; expected the layout's {dim}_slots to cover every structure"
                )
        length = self._sizes | ragged
        for name, value in values.items():
            variable = self._variables[name]
            expected = tuple(length[dim] for dim in variable.dims[1:])
            if value.shape != expected:
                raise ValueError(f"{name}: expected an array of shape {expected}, found {value.shape}")
            if not _fits(value, np.dtype(variable.dtype)):
                raise ValueError(f"{name}: expected {variable.dtype}, found {value.dtype} that does not fit")

    def _add_chunks(self, variable: schema.Variable, value: NDArray[Any]) -> None:
        assert variable.chunk is not None
        whole = value.astype(variable.dtype, copy=False)
        first = self._count * self._per_structure[variable.name]
        ragged = variable.dims[1] in schema.RAGGED
        length = variable.chunk[1]
        for part in range(-(-len(whole) // length) if ragged else 1):
            chunk = _padded(whole[part * length : (part + 1) * length], length, variable) if ragged else whole
            if not is_fill(chunk, variable.fill_value):
                self._sharded[variable.name].add(first + part, encode_chunk(chunk))

    def _add_run(self, variable: schema.Variable, parts: list[NDArray[Any]]) -> None:
        """Write the structures of the shard one after another."""
        whole = np.concatenate(parts)
        if len(whole) > (slots := self._sizes["reflection"]):
            raise StoreError(
                f"shard {self.shard}: {len(whole)} entries do not fit the {slots} of {variable.name}; expected the "
                "layout's shard_reflections to cover every shard"
            )
        for number, first in enumerate(range(0, len(whole), schema.RUN_CHUNK)):
            chunk = _padded(whole[first : first + schema.RUN_CHUNK], schema.RUN_CHUNK, variable)
            self._sharded[variable.name].add(number, encode_chunk(chunk))

    def _pass_chunks(self, name: str, value: StoredChunks) -> None:
        first = self._count * self._per_structure[name]
        for part, chunk in enumerate(value.chunks):
            if chunk is not None:
                self._sharded[name].add(first + part, chunk)

    def _close_files(self) -> dict[str, dict[str, Any]]:
        written: dict[str, dict[str, Any]] = {}
        for name, parts in self._runs.items():
            self._add_run(self._variables[name], parts)
        for name, variable in self._variables.items():
            if name in self._small:
                if not is_fill(self._small[name], variable.fill_value):
                    written[name] = write_file(self._folder / name, encode_chunk(self._small[name]))
            else:
                entry = self._sharded[name].close()
                if entry is not None:
                    written[name] = entry
        return written

    def _move_into_place(self, written: list[str]) -> None:
        targets = {
            name: self.dataset / schema.chunk_key(variable, self.shard) for name, variable in self._variables.items()
        }
        for name, target in targets.items():
            if name not in written:
                target.unlink(missing_ok=True)
        disk.move_all({self._folder / name: targets[name] for name in written})

    def _discard(self) -> None:
        for file in self._sharded.values():
            file.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)


def clear_partial(dataset: Path) -> None:
    """Delete what interrupted tasks left behind; only while no task is writing."""
    shutil.rmtree(dataset / PARTIAL, ignore_errors=True)


def _fits(value: Value, dtype: np.dtype[Any]) -> bool:
    """Return whether a value fits the type: reals may lose digits, whole numbers may not."""
    if isinstance(value, StoredChunks):
        return value.dtype == dtype
    if dtype.kind == "f" or value.dtype == dtype:
        return value.dtype.kind == dtype.kind
    return value.dtype.kind in "iu" and dtype.kind in "iu" and np.array_equal(value.astype(dtype), value)


def _padded(values: NDArray[Any], length: int, variable: schema.Variable) -> NDArray[Any]:
    chunk = np.full((length, *values.shape[1:]), variable.fill_value, dtype=variable.dtype)
    chunk[: len(values)] = values
    return chunk


def _not_repeatable(dataset: Path, before: ledger.Receipt, now: ledger.Receipt) -> str:
    files = sorted(f for f in {*before.files, *now.files} if before.files.get(f) != now.files.get(f))
    return (
        f"{dataset}: shard {now.shard} was made twice and came out differently (in {', '.join(files) or 'its notes'}); "
        "expected equal bytes from equal content. Machines or library versions differ: check them with datagen verify"
    )
