"""Decompressed bytes of every file of a dataset, padding included, read without Zarr."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numcodecs import Blosc


def files_of(publication: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a folder or a zip, by name."""
    if publication.is_file():
        with zipfile.ZipFile(publication) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {p.relative_to(publication).as_posix(): p.read_bytes() for p in publication.rglob("*") if p.is_file()}


def decoded(publication: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files as they are, chunks decompressed, tables as text."""
    found = files_of(publication)
    if publication.is_file():
        yield publication.name, publication.read_bytes()
    for name, data in found.items():
        yield name, data
        if "/c/" in name:
            metadata = json.loads(found[f"{name.split('/')[0]}/zarr.json"])
            sharded = metadata["codecs"][0]["name"] == "sharding_indexed"
            for chunk in _inner(data, metadata) if sharded else [data]:
                yield name, bytes(Blosc().decode(chunk))
        elif name.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data))
            yield name, repr(table.to_pylist()).encode()
            yield name, repr(table.schema.metadata).encode()
            yield name, repr([(field.name, field.metadata) for field in table.schema]).encode()


def _inner(data: bytes, metadata: dict[str, object]) -> list[bytes]:
    grid = metadata["chunk_grid"]["configuration"]["chunk_shape"]  # type: ignore[index]
    inner = metadata["codecs"][0]["configuration"]["chunk_shape"]  # type: ignore[index]
    count = int(np.prod([n // c for n, c in zip(grid, inner, strict=True)]))
    index = np.frombuffer(data[-4 - 16 * count : -4], dtype="<u8").reshape(count, 2)
    stored = [(int(offset), int(length)) for offset, length in index if offset != 2**64 - 1]
    assert sum(length for _, length in stored) == len(data) - 4 - 16 * count, "bytes that no chunk accounts for"
    return [data[offset : offset + length] for offset, length in stored]
