"""Chunks of a file of a sharded array, decoded or passed on as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.store.shard_file import NO_CHUNK

_INDEX_ENTRY = 16
_CHECKSUM = 4


@dataclass(frozen=True, eq=False)
class StoredChunks:
    """One structure's part of a sharded array, compressed as stored."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[memoryview | None, ...]
    """None: nothing but fill values, which are not stored."""

    def __len__(self) -> int:
        return self.shape[0]

    def emptied(self) -> StoredChunks:
        """Return the part of a structure without entries along the first axis."""
        return StoredChunks((0, *self.shape[1:]), self.dtype, ())


Value = NDArray[Any] | StoredChunks
"""Value of a variable for one structure."""


class ShardBytes:
    """A file of Zarr's `sharding_indexed` layout with its index at the end, in memory or mapped."""

    def __init__(self, name: str, data: memoryview, n_chunks: int) -> None:
        begin = len(data) - _INDEX_ENTRY * n_chunks - _CHECKSUM
        index = data[max(begin, 0) : -_CHECKSUM]
        if begin < 0 or int(google_crc32c.value(bytes(index))) != int.from_bytes(data[-_CHECKSUM:], "little"):
            raise StoreError(
                f"{name}: expected an index of {n_chunks} chunks at the end of {len(data)} bytes, found none that its "
                "own checksum confirms; the dataset was not written by pxrd-datagen"
            )
        self._data = data[:begin]
        self._index = np.frombuffer(index, dtype="<u8").reshape(n_chunks, 2)

    def chunk(self, number: int) -> memoryview | None:
        """Return the compressed chunk; None if it is not stored."""
        offset, length = (int(value) for value in self._index[number])
        return None if offset == NO_CHUNK else self._data[offset : offset + length]


def decode_chunk(stored: memoryview | None, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Any) -> NDArray[Any]:
    """Return the chunk's values; fill values if nothing is stored."""
    if stored is None:
        return np.full(shape, fill, dtype=dtype)
    return np.frombuffer(_BLOSC.decode(stored), dtype=dtype.newbyteorder("<")).reshape(shape).astype(dtype, copy=False)


_BLOSC = Blosc()
"""Its own settings do not matter: each chunk states how it was encoded."""
