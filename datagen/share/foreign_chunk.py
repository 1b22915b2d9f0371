"""Decoding of chunks of untrusted datasets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.errors import StoreError
from datagen.store.shard_reader import decode_chunk

_HEADER_BYTES = 16
_SIZE = slice(4, 8)
"""Bytes of a Blosc header with the size of the decompressed chunk."""


def check_size(name: str, stored: memoryview | None, n_bytes: int) -> None:
    """Refuse a compressed chunk that does not decompress to `n_bytes`; nothing is decompressed."""
    if stored is None:
        return
    found = int.from_bytes(stored[_SIZE], "little") if len(stored) >= _HEADER_BYTES else None
    if found != n_bytes:
        raise StoreError(
            f"{name}: expected a chunk of {n_bytes} bytes, found "
            + ("no Blosc chunk" if found is None else f"one of {found} bytes")
            + "; fetch the dataset again"
        )


def decode(
    name: str, stored: memoryview | None, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Any
) -> NDArray[Any]:
    """Return the values of a chunk; fill values where nothing is stored."""
    check_size(name, stored, math.prod(shape) * dtype.itemsize)
    try:
        return decode_chunk(stored, shape, dtype, fill)
    except (RuntimeError, ValueError) as error:
        raise StoreError(f"{name}: expected a Blosc chunk, found something else; fetch the dataset again") from error
