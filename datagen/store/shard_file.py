"""Writing of one file of a Zarr v3 array: compressed chunks, then their index."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Blosc
from numcodecs import blosc as blosc_library
from numpy.typing import NDArray

# Blosc with several threads writes blocks in the order in which they finish; equal content must give equal bytes.
blosc_library.use_threads = False

CODEC = {"cname": "zstd", "clevel": 2, "shuffle": "shuffle", "blocksize": 1 << 21}
"""Measured in benchmarks/store.py; the table is in docs/store-format.md. One block holds a structure's 100 patterns, so
that what one has in common with the next is found; Blosc's own blocks are smaller."""

NO_CHUNK = 2**64 - 1
"""Offset and length of a chunk that is not stored, by Zarr's sharding_indexed codec 1.0."""


def codecs(dtype: np.dtype[Any], inner: tuple[int, ...] | None) -> list[dict[str, Any]]:
    """Return the `codecs` entry of zarr.json for arrays of this type, sharded if inner chunks are given."""
    bytes_codec = {"name": "bytes", "configuration": {"endian": "little"}} if dtype.itemsize > 1 else {"name": "bytes"}
    chain = [bytes_codec, {"name": "blosc", "configuration": {"typesize": dtype.itemsize, **CODEC}}]
    if inner is None:
        return chain
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    configuration = {"chunk_shape": list(inner), "codecs": chain, "index_codecs": index, "index_location": "end"}
    return [{"name": "sharding_indexed", "configuration": configuration}]


def is_fill(values: NDArray[Any], fill: Any) -> bool:
    """Return whether every value is the fill value; NaN equals NaN."""
    if fill != fill:
        return bool(np.isnan(values).all())
    return bool((values == fill).all())


def encode_chunk(values: NDArray[Any]) -> bytes:
    """Return a chunk as stored: little-endian bytes, shuffled by item size, compressed by Blosc with zstd."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    if little.dtype == np.bool_:
        little = little.view(np.uint8)
    return bytes(_BLOSC.encode(little))


def write_file(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file; return size and checksum as the ledger lists them."""
    out = FileBeingWritten(path)
    try:
        out.write(data)
    finally:
        entry = out.close()
    return entry


class FileBeingWritten:
    """A file written sequentially, with its size and checksum."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._sha256 = hashlib.sha256()
        self.path = path
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self._file.write(data)
        self._sha256.update(data)
        self.size += len(data)

    def close(self) -> dict[str, Any]:
        """Close the file; return size and checksum as the ledger lists them."""
        self._file.close()
        return {"size": self.size, "sha256": self._sha256.hexdigest()}

    def abandon(self) -> None:
        """Close the file without result."""
        self._file.close()


class ShardFile:
    """A file of Zarr's `sharding_indexed` layout; chunks are added in any reproducible order.

    It holds the chunks, a table of (offset, length) in little-endian uint64 for each chunk in C order, and the CRC-32C
    of the table. Memory holds one structure instead of a shard.
    """

    def __init__(self, path: Path, n_chunks: int) -> None:
        self.path = path
        self._out: FileBeingWritten | None = None
        self._index = np.full((n_chunks, 2), NO_CHUNK, dtype="<u8")

    def add(self, chunk: int, encoded: bytes | memoryview) -> None:
        """Store a chunk under its number."""
        if self._index[chunk, 0] != NO_CHUNK:
            raise ValueError(f"chunk {chunk} of {self.path} was written already")
        if self._out is None:
            self._out = FileBeingWritten(self.path)
        self._index[chunk] = self._out.size, len(encoded)
        self._out.write(encoded)

    def abandon(self) -> None:
        """Close the file without its index, unless it is closed already."""
        if self._out is not None:
            self._out.abandon()

    def close(self) -> dict[str, Any] | None:
        """Write the index; return size and checksum of the file, None if no chunk was stored."""
        if self._out is None:
            return None
        index = self._index.tobytes()
        self._out.write(index)
        self._out.write(int(google_crc32c.value(index)).to_bytes(4, "little"))
        return self._out.close()


_BLOSC = Blosc(cname=CODEC["cname"], clevel=CODEC["clevel"], shuffle=Blosc.SHUFFLE, blocksize=CODEC["blocksize"])
