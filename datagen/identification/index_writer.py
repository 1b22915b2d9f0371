"""Writing of an index: arrays that grow on disk, so that a million structures take no more memory than a thousand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from datagen.errors import DatagenError
from datagen.identification.index import ARRAYS, FACTS, NAME_FIELDS, NAMES, TABLE, VERSION, rough_of, settings

_NAMES_AT_ONCE = 4096
_NAME_SCHEMA = pa.schema([(name, pa.string()) for name in NAME_FIELDS])


class IndexWriter:
    """Arrays that grow on disk, with the names of the structures."""

    def __init__(self, folder: Path) -> None:
        self.structures = self.left_out = 0
        self._files: dict[str, IO[bytes]] = {name: (folder / f"{name}.npy").open("wb") for name in ARRAYS}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._names: list[dict[str, str]] = []
        self._sink = pa.OSFile(str(folder / NAMES), "wb")
        self._table = pa.ipc.new_file(self._sink, _NAME_SCHEMA)
        self._append("first", np.zeros(1))

    def add(self, entry: dict[str, Any]) -> None:
        """Append a structure; an empty entry is only counted."""
        if not entry:
            self.left_out += 1
            return
        self.structures += 1
        for name in ("hkl", "intensity"):
            self._append(name, entry[name])
        self._append("first", np.array([self._shapes["hkl"][0]]))
        self._append("rough", rough_of(entry["pattern"])[None])
        for name in ARRAYS:
            if name not in ("hkl", "intensity", "first", "rough"):
                self._append(name, np.asarray(entry[name])[None])
        self._add_name(entry["name"])

    def join(self, part: Path) -> None:
        """Append the structures of a folder that another writer of this class filled."""
        arrays = {name: np.load(part / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        before = self._shapes.get("hkl", (0,))[0]
        for name, values in arrays.items():
            self._append(name, values[1:] + before if name == "first" else values)
        with pa.memory_map(str(part / NAMES)) as source, pa.ipc.open_file(source) as reader:
            for batch in (reader.get_batch(i) for i in range(reader.num_record_batches)):
                for name in batch.to_pylist():
                    self._add_name(name)
        self.structures += len(arrays["row"])

    def _append(self, name: str, values: NDArray[Any]) -> None:
        file = self._files[name]
        if name not in self._shapes:
            self._shapes[name] = (0, *values.shape[1:])
            self._write_header(name)
        file.write(np.ascontiguousarray(values, dtype=ARRAYS[name]).tobytes())
        self._shapes[name] = (self._shapes[name][0] + len(values), *values.shape[1:])

    def _write_header(self, name: str) -> None:
        # A header has room for any number of rows, so that it can be written again when their number is known.
        np.lib.format.write_array_header_1_0(
            self._files[name],
            {"descr": np.dtype(ARRAYS[name]).str, "fortran_order": False, "shape": self._shapes[name]},
        )

    def _add_name(self, name: dict[str, str]) -> None:
        self._names.append(name)
        if len(self._names) == _NAMES_AT_ONCE:
            self._write_names()

    def _write_names(self) -> None:
        self._table.write_batch(pa.RecordBatch.from_pylist(self._names, schema=_NAME_SCHEMA))
        self._names.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is None and self._names:
            self._write_names()
        self._table.close()
        self._sink.close()
        for name, file in self._files.items():
            if error is None and name in self._shapes:
                file.seek(0)
                self._write_header(name)
            file.close()


def write_facts(folder: Path, writer: IndexWriter, table_sha256: str, name: str) -> None:
    """Complete the folder that a writer has filled, for a dataset's table of this checksum."""
    if not writer.structures:
        raise DatagenError(f"{name}: its table {TABLE} lists no structure that can be indexed")
    files = [*(f"{array}.npy" for array in ARRAYS), NAMES]
    (folder / FACTS).write_text(
        json.dumps(
            {
                "format": "pxrd-identify-index",
                "format_version": VERSION,
                "settings": settings(),
                "table_sha256": table_sha256,
                "structures": writer.structures,
                "left_out": writer.left_out,
                "files": {file: _checksum(folder / file) for file in files},
            }
        )
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
