"""A limit on the chunks of datasets from elsewhere, compressed or not, before zarr reads or decompresses them."""

from __future__ import annotations

import struct

from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from datagen.errors import StoreError

MOST_CHUNK_BYTES = 1 << 28
"""That of 100 patterns of 8192 points has 1.6 MB, that of labels some 8 MB."""
_BLOSC_HEADER = struct.Struct("<4xI4xI")
"""Bytes of a chunk when decompressed, and as stored."""


class BoundedStore(WrapperStore[Store]):
    """A store that refuses chunks of more than `MOST_CHUNK_BYTES`."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read a file or a part of it; None if it does not exist."""
        if isinstance(byte_range, RangeByteRequest):
            _refuse(key, byte_range.end - byte_range.start)
        elif isinstance(byte_range, SuffixByteRequest):
            _refuse(key, byte_range.suffix)
        found = await self._store.get(key, prototype, byte_range)
        if found is not None and len(found) >= _BLOSC_HEADER.size:
            inflated, stored = _BLOSC_HEADER.unpack(found.to_bytes()[: _BLOSC_HEADER.size])
            if stored == len(found):
                _refuse(key, inflated)
        return found


def _refuse(key: str, size: int) -> None:
    if size > MOST_CHUNK_BYTES:
        raise StoreError(
            f"{key}: expected a chunk of at most {MOST_CHUNK_BYTES:,} bytes, found one of {size:,}; the dataset is "
            "damaged: fetch it again"
        )
