"""Keys and values of an LMDB file, read without the library: damaged pages are an error and not a crash.

The layout is that of LMDB 0.9 on 64-bit little-endian machines (`mdb.c` of https://git.openldap.org/openldap/openldap):
pages of one size; two meta pages, of which the one of the later transaction holds; a B+ tree of branch and leaf pages;
values that do not fit a leaf on overflow pages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

MAGIC = 0xBEEFC0DE
_HEADER_BYTES = 16
_META = struct.Struct("<II16x48xIHHQQQQQQQ")
"""After the page's header: magic, version; flags, counts and root of the main database; last page and transaction."""
_PAGE = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_BIG_VALUE, _SUBTREE = 0x01, 0x02 | 0x04
_NO_PAGE = 2**64 - 1
_DEEPEST = 32


class DamagedLmdbError(Exception):
    """The file is not an LMDB file, or its pages contradict each other."""


@dataclass(frozen=True)
class LargeValue:
    """A value over the limit, which was not read."""

    size: int


@dataclass(frozen=True)
class _Meta:
    page_bytes: int
    n_entries: int
    root: int
    transaction: int


def is_lmdb(head: bytes) -> bool:
    """Return whether a file with these first bytes is an LMDB file."""
    return len(head) >= 20 and int.from_bytes(head[16:20], "little") == MAGIC


def entries(stream: IO[bytes], largest_value: int) -> Iterator[tuple[bytes, bytes | LargeValue]]:
    """Yield key and value of the main database, in the order of keys; raise DamagedLmdbError where it is damaged."""
    yield from _Reader(stream, largest_value).entries()


class _Reader:
    def __init__(self, stream: IO[bytes], largest_value: int) -> None:
        self._stream = stream
        self._largest_value = largest_value
        first = self._meta(0)
        second = self._meta(first.page_bytes)
        self._meta_page = second if second.transaction > first.transaction else first
        self._n_pages = stream.seek(0, 2) // first.page_bytes
        self._n_read = 0

    def _meta(self, at: int) -> _Meta:
        raw = self._bytes(at + _HEADER_BYTES, _META.size)
        magic, version, _, flags, _, _, _, _, n_entries, root, _, transaction = _META.unpack_from(raw)
        page_bytes = int.from_bytes(raw[24:28], "little")
        if magic != MAGIC or version != 1:
            raise DamagedLmdbError("its first pages are not those of an LMDB file of version 1")
        if page_bytes not in (1 << power for power in range(9, 17)) or flags & 0x04:
            raise DamagedLmdbError(f"pages of {page_bytes} bytes, flags {flags:#x}")
        return _Meta(page_bytes, n_entries, root, transaction)

    def entries(self) -> Iterator[tuple[bytes, bytes | LargeValue]]:
        """Yield every entry; the number of pages read is bounded by those of the file."""
        meta = self._meta_page
        if meta.root == _NO_PAGE:
            return
        n_found = 0
        waiting = [(meta.root, 1)]
        while waiting:
            number, depth = waiting.pop()
            page = self._page(number)
            flags, offsets = self._offsets(page, number)
            if flags & _BRANCH and depth < _DEEPEST:
                waiting += [(self._child(page, at, number), depth + 1) for at in reversed(offsets)]
            elif flags & _LEAF:
                for at in offsets:
                    n_found += 1
                    yield self._entry(page, at, number)
            else:
                raise DamagedLmdbError(f"page {number} is neither branch nor leaf")
        if n_found != meta.n_entries:
            raise DamagedLmdbError(f"{n_found} entries were found, {meta.n_entries} are announced")

    def _page(self, number: int) -> bytes:
        self._n_read += 1
        if number >= self._n_pages or self._n_read > self._n_pages:
            raise DamagedLmdbError(f"page {number} is outside the file, or pages lead in a circle")
        return self._bytes(number * self._meta_page.page_bytes, self._meta_page.page_bytes)

    def _offsets(self, page: bytes, number: int) -> tuple[int, list[int]]:
        own, _, flags, lower, _ = _PAGE.unpack_from(page)
        if own != number or not _HEADER_BYTES <= lower <= len(page):
            raise DamagedLmdbError(f"page {number} has the header of page {own}, or a wrong size")
        return flags, list(struct.unpack_from(f"<{(lower - _HEADER_BYTES) // 2}H", page, _HEADER_BYTES))

    def _child(self, page: bytes, at: int, number: int) -> int:
        low, high, more, _ = self._node(page, at, number)
        return low | high << 16 | more << 32

    def _entry(self, page: bytes, at: int, number: int) -> tuple[bytes, bytes | LargeValue]:
        low, high, flags, key_bytes = self._node(page, at, number)
        begin, size = at + _NODE.size + key_bytes, low | high << 16
        key = page[at + _NODE.size : begin]
        if flags & _SUBTREE:
            raise DamagedLmdbError("it holds named databases, which are not read")
        if size > self._largest_value:
            return key, LargeValue(size)
        if not flags & _BIG_VALUE:
            if begin + size > len(page):
                raise DamagedLmdbError(f"a value leads out of page {number}")
            return key, page[begin : begin + size]
        first = int.from_bytes(page[begin : begin + 8], "little")
        if first >= self._n_pages:
            raise DamagedLmdbError(f"page {first} is outside the file")
        start = first * self._meta_page.page_bytes
        own, _, kind, _, _ = _PAGE.unpack(self._bytes(start, _PAGE.size))
        if own != first or not kind & _OVERFLOW:
            raise DamagedLmdbError(f"page {first} is no overflow page")
        return key, self._bytes(start + _HEADER_BYTES, size)

    def _node(self, page: bytes, at: int, number: int) -> tuple[int, int, int, int]:
        if not _HEADER_BYTES <= at <= len(page) - _NODE.size:
            raise DamagedLmdbError(f"an entry leads out of page {number}")
        low, high, flags, key_bytes = _NODE.unpack_from(page, at)
        if at + _NODE.size + key_bytes > len(page):
            raise DamagedLmdbError(f"a key leads out of page {number}")
        return low, high, flags, key_bytes

    def _bytes(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        found = self._stream.read(size)
        if len(found) < size:
            raise DamagedLmdbError(f"it ends after {at + len(found):,} bytes, inside a page")
        return found
