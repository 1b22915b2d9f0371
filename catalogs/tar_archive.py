"""Files with structures in tar archives, read in one pass in the archive's order and never extracted to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, cast

from catalogs import defects
from catalogs.config import TarCatalog
from catalogs.densities import beside, by_block
from catalogs.errors import CatalogError
from catalogs.names import archive_kind, escapes, format_of, is_hidden, is_read, is_table
from catalogs.nested import table_records
from catalogs.reading import MB, Place, decompressed, too_large
from catalogs.record import Defect, Record

_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)
LARGEST_HEADER_BYTES = 1_000_000
"""Limit on the size of a long name or of pax records; real ones have some hundred bytes."""
READS_PAST_END = 100
"""Limit on reads past the end; an intact archive has a few."""
_HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_MAGIC: dict[bytes, Callable[[Path, str], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def records(config: TarCatalog) -> Iterator[Record]:
    """Yield a record per structure of every member, and a last one with the defect of a damaged archive."""
    with ExitStack() as stack:
        stream = _Bounded(stack.enter_context(_open(config)), config.max_inflated_GB)
        n_members = 0
        damage = ""
        try:
            tar = stack.enter_context(tarfile.open(fileobj=cast(Any, stream), mode="r|", tarinfo=_Header))
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
                yield from _member_records(config, tar, member)
                n_members += 1
            damage = _Header.trouble(tar)
            while not damage and stream.read(MB):  # the checksum of the compression is at the end
                pass
        except _DAMAGE as error:
            damage = str(error) or type(error).__name__
        if damage and n_members == 0:
            raise CatalogError(
                f"{config.path} cannot be read as a tar archive",
                where=f"catalog {config.name!r}",
                found=damage,
                do="correct the path, or copy the archive again if it is damaged",
            )
        if damage:
            place = Place(config.name, config.path.name, str(config.path), config.licence)
            detail = f"after {n_members} members: {damage}"
            yield place.refused(Defect(defects.DAMAGED_SOURCE, detail))


def _open(config: TarCatalog) -> IO[bytes]:
    try:
        with config.path.open("rb") as stream:
            head = stream.read(6)
        for magic, opener in _MAGIC.items():
            if head.startswith(magic):
                return cast(IO[bytes], opener(config.path, "rb"))
        return config.path.open("rb")
    except OSError as error:
        raise CatalogError(
            "the archive cannot be opened",
            where=f"catalog {config.name!r}",
            found=f"{config.path} ({error.strerror})",
            do="correct its path or permissions",
        ) from error


def _member_records(config: TarCatalog, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Record]:
    name = member.name.removeprefix("./")
    if member.isdir():
        return
    if not escapes(name) and (is_hidden(name) or not is_read(name)):
        return
    place = Place(
        config.name,
        name,
        f"{config.path}!{name}",
        config.licence,
        density_for=beside(config.path.parent, config.density, name),
        by_block=by_block(config.density),
        format=format_of(name) or "cif",
        skippable=format_of(name) == "json",
    )
    if refusal := _refusal(member, name, config.max_file_MB):
        yield place.refused(refusal)
        return
    content = tar.extractfile(member)
    assert content is not None  # it is a plain file
    raw = decompressed(content.read(), name, config.max_file_MB)
    if isinstance(raw, Defect):
        yield place.refused(raw)
    elif is_table(name):
        yield from table_records(place, Path(name), config.max_file_MB, raw)
    else:
        yield from place.records(raw)


def _refusal(member: tarfile.TarInfo, name: str, limit_MB: float) -> Defect | None:
    if escapes(name):
        return Defect(defects.ESCAPING_ENTRY, f"the entry is named {name!r}")
    if archive_kind(name) is not None:
        return Defect(defects.NESTED_ARCHIVE, "an archive inside the archive")
    if member.issym() or member.islnk():
        return Defect(defects.LINK_ENTRY, f"a link to {member.linkname!r}")
    if not member.isreg():
        return Defect(defects.UNREADABLE_FILE, "a device or pipe")
    if member.size > limit_MB * MB:
        return too_large(f"{member.size / MB:.0f} MB, by its header")
    return None


class _Bounded(RawIOBase):
    """A stream that raises an error once it has returned more than its limit."""

    def __init__(self, stream: IO[bytes], limit_GB: float) -> None:
        self._stream = stream
        self._reads_past_end = 0
        self._left = int(limit_GB * 1000 * MB)
        self._limit_GB = limit_GB

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if not chunk and size != 0:
            # tarfile skips a member by reading on, and does not notice that nothing is left.
            self._reads_past_end += 1
            if self._reads_past_end > READS_PAST_END:
                raise tarfile.ReadError("it ends inside a member")
        self._left -= len(chunk)
        if self._left < 0:
            raise tarfile.ReadError(f"it inflates to more than max_inflated_GB = {self._limit_GB:g}")
        return chunk


class _Header(tarfile.TarInfo):
    """A header with size limits that records how the list of members ended.

    tarfile treats a damaged header as the end of the archive, and reads long names and pax records into memory.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADER_TYPES and header.size > LARGEST_HEADER_BYTES:
            raise tarfile.InvalidHeaderError(  # type: ignore[attr-defined]
                f"a header of {header.size} bytes; at most {LARGEST_HEADER_BYTES} are read"
            )
        return header

    @staticmethod
    def trouble(tar: tarfile.TarFile) -> str:
        return str(getattr(tar, "trouble", ""))

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            tar.trouble = str(error)  # type: ignore[attr-defined]
            raise
