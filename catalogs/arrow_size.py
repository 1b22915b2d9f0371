"""How large the record batches of an Arrow file (Feather 2) become, from its metadata alone.

Arrow allocates what each compressed buffer says that it inflates to, so that a small file can ask for any memory. The
number stands before the buffer. Layout: https://arrow.apache.org/docs/format/Columnar.html, tables of FlatBuffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Bytes = bytes | memoryview
_MAGIC = b"ARROW1"
_BLOCK = struct.Struct("<qi4xq")
_BUFFER = struct.Struct("<qq")
_DICTIONARIES, _RECORD_BATCHES = 2, 3
"""Fields of the footer; the others below likewise."""
_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_DATA = 1
_BUFFERS, _COMPRESSION = 2, 3


def inflated_bytes(file: Bytes) -> int:
    """Return the bytes of all buffers when they are inflated; raise ValueError for what is no Arrow file."""
    try:
        return sum(_inflated(file, offset, length) for offset, length in _blocks(file))
    except (struct.error, IndexError) as error:
        raise ValueError(f"no Arrow file ({error})") from error


def _blocks(file: Bytes) -> Iterator[tuple[int, int]]:
    """Yield where each batch begins, and the bytes of its metadata, after which its buffers come."""
    if bytes(file[-len(_MAGIC) :]) != _MAGIC:
        raise ValueError("it does not end as an Arrow file does")
    end = len(file) - len(_MAGIC) - 4
    (size,) = struct.unpack_from("<i", file, end)
    footer = _root(file, _inside(file, end - size))
    for field in (_DICTIONARIES, _RECORD_BATCHES):
        start, count = _vector(file, _field(file, footer, field))
        for number in range(count):
            offset, metadata, _ = _BLOCK.unpack_from(file, start + number * _BLOCK.size)
            yield _inside(file, offset), metadata


def _inflated(file: Bytes, offset: int, metadata: int) -> int:
    (marker,) = struct.unpack_from("<I", file, offset)
    message = _root(file, offset + (8 if marker == 0xFFFFFFFF else 4))
    batch = _target(file, _field(file, message, _HEADER))
    kind_at = _field(file, message, _HEADER_TYPE)
    kind = file[kind_at] if kind_at is not None else 0
    if kind == _DICTIONARY_BATCH:
        batch = _target(file, _field(file, batch, _DATA))
    elif kind != _RECORD_BATCH:
        raise ValueError(f"expected a batch of records, found a message of type {kind}")
    compressed = _field(file, batch, _COMPRESSION) is not None
    start, count = _vector(file, _field(file, batch, _BUFFERS))
    total = 0
    for number in range(count):
        begin, length = _BUFFER.unpack_from(file, start + number * _BUFFER.size)
        stated = struct.unpack_from("<q", file, _inside(file, offset + metadata + begin))[0] if length >= 8 else -1
        total += stated if compressed and stated >= 0 else max(length, 0)
    return total


def _inside(file: Bytes, offset: int) -> int:
    if not 0 <= offset < len(file):
        raise ValueError(f"no Arrow file: it points to byte {offset:,} of {len(file):,}")
    return offset


def _root(file: Bytes, at: int) -> int:
    return _target(file, _inside(file, at))


def _target(file: Bytes, at: int | None) -> int:
    """Follow the reference at a place."""
    if at is None:
        raise ValueError("no Arrow file: a part is missing")
    return _inside(file, at + int(struct.unpack_from("<I", file, at)[0]))


def _field(file: Bytes, table: int, number: int) -> int | None:
    """Return the place of a field of a table; None if it is not there."""
    described = _inside(file, table - int(struct.unpack_from("<i", file, table)[0]))
    (size,) = struct.unpack_from("<H", file, described)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", file, described + at)[0] if at + 2 <= size else 0
    return table + int(offset) if offset else None


def _vector(file: Bytes, at: int | None) -> tuple[int, int]:
    """Return where the items of a vector begin, and how many there are."""
    if at is None:
        return 0, 0
    start = _target(file, at)
    return start + 4, int(struct.unpack_from("<I", file, start)[0])
