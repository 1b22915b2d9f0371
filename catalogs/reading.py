"""Conversion of a file's bytes to records, one for each structure."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from typing import IO, Any

from catalogs import defects
from catalogs.blocks import MAX_BLOCKS, split_blocks
from catalogs.formats import MAX_STRUCTURES, split
from catalogs.names import compression_of
from catalogs.record import Defect, DensityRef, Format, Record
from catalogs.text import decode, printable

MB = 1_000_000
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class Place:
    """Provenance of a file, shared by all of its records."""

    source: str
    file_id: str
    origin: str
    licence: str
    source_metadata: dict[str, str] = field(default_factory=dict)
    density_for: Callable[[str], DensityRef | None] | None = None
    """Function from block name to density; None if the catalog has no densities."""
    by_block: bool = False
    """Whether `density_for` distinguishes the blocks of a file."""
    format: Format = "cif"
    skippable: bool = False
    """Whether a file without any structure is skipped, as files of other names are."""

    def refused(self, defect: Defect) -> Record:
        """Return the record of a file that could not be read."""
        defect = replace(defect, detail=printable(defect.detail))
        source_metadata = dict(self.source_metadata)
        return Record(
            self.source,
            printable(self.file_id),
            "",
            printable(self.origin),
            self.licence,
            None,
            source_metadata,
            defect,
        )

    def records(self, raw: bytes) -> Iterator[Record]:
        """Yield a record for each structure of a file's bytes, or one with the defect."""
        decoded = decode(raw)
        if isinstance(decoded, Defect):
            yield self.refused(decoded)
            return
        text, encoding = decoded
        source_metadata = (
            self.source_metadata if encoding == "utf-8" else {**self.source_metadata, "encoding": encoding}
        )
        yield from replace(self, source_metadata=source_metadata).records_of_text(text)

    def records_of_text(self, text: str) -> Iterator[Record]:
        """Do the same as `records` for decoded text."""
        if self.format == "cif":
            yield from self._data_blocks(text)
        else:
            yield from self._pieces(text)

    def _pieces(self, text: str) -> Iterator[Record]:
        """Yield the structures of a file that is not a CIF, tagged with their id in the file or their number."""
        pieces = list(islice(split(text, self.format), MAX_STRUCTURES + 1))
        if self.skippable and all(isinstance(p, Defect) and p.reason == defects.NO_STRUCTURE for p in pieces):
            return
        if not pieces:
            yield self.refused(Defect(defects.NO_STRUCTURE, "the file is empty"))
            return
        if len(pieces) > MAX_STRUCTURES:
            yield self.refused(too_large(f"more than {MAX_STRUCTURES} structures in one file"))
            return
        for number, piece in enumerate(pieces, start=1):
            named = "" if isinstance(piece, Defect) else piece.name
            tag = "" if len(pieces) == 1 else f"#{named or number}"
            here = replace(self, file_id=self.file_id + tag, origin=self.origin + tag)
            if isinstance(piece, Defect):
                yield here.refused(piece)
                continue
            beside = {printable(key): printable(value) for key, value in piece.metadata.items()}
            here = replace(here, source_metadata={**self.source_metadata, **beside}, format=piece.format)
            text = printable(piece.text)
            if piece.format == "cif":
                yield from here._data_blocks(text)
            else:
                yield here.record(text, alone=len(pieces) == 1)

    def record(self, text: str, block: str = "", *, alone: bool = True) -> Record:
        """Return the record of one structure; `alone` if its file has no other."""
        source_metadata = dict(self.source_metadata)
        density = None
        if self.density_for is not None:
            clear = self.by_block or alone
            density = self.density_for(block) if clear else None
            if density is None:
                source_metadata["density_note"] = "none found" if clear else "several data blocks"
        return Record(
            self.source,
            printable(self.file_id),
            text,
            printable(self.origin),
            self.licence,
            density,
            source_metadata,
            format=self.format,
        )

    def _data_blocks(self, text: str) -> Iterator[Record]:
        blocks = split_blocks(text)
        if not blocks:
            detail = f"{len(text)} characters without a data_ line, beginning {text.strip()[:40]!r}"
            yield self.refused(Defect(defects.NO_DATA_BLOCK, detail))
            return
        if len(blocks) > MAX_BLOCKS:
            yield self.refused(Defect(defects.TOO_LARGE, f"more than {MAX_BLOCKS} data blocks in one file"))
            return
        distinct = len({block.name.lower() for block in blocks}) == len(blocks)
        for number, block in enumerate(blocks, start=1):
            tag = "" if len(blocks) == 1 else f"#{block.name if distinct and block.name else number}"
            here = replace(self, file_id=self.file_id + tag, origin=self.origin + tag)
            if block.truncated:
                yield here.refused(Defect(defects.TRUNCATED_TEXT, "a text field is never closed"))
                continue
            yield here.record(block.text, block.name, alone=len(blocks) == 1)


def read_bounded(stream: IO[bytes], name: str, limit_MB: float) -> bytes | Defect:
    """Return all bytes of a file, decompressed if its name says so; read at most one byte over the limit."""
    limit = int(limit_MB * MB)
    try:
        if opener := _OPENERS.get(compression_of(name)):
            with opener(stream) as plain:
                raw: bytes = plain.read(limit + 1)
        else:
            raw = stream.read(limit + 1)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return Defect(defects.DAMAGED_ENTRY, f"cannot be decompressed: {error}")
    if len(raw) > limit:
        return too_large(f"more than {limit_MB:g} MB")
    return raw


def decompressed(raw: bytes, name: str, limit_MB: float) -> bytes | Defect:
    """Do the same as `read_bounded` for bytes in memory."""
    return read_bounded(BytesIO(raw), name, limit_MB)


def too_large(found: str) -> Defect:
    """Return the defect of a text over the catalog's limit."""
    return Defect(defects.TOO_LARGE, found)


def with_unique_ids(records: Iterable[Record]) -> Iterator[Record]:
    """Yield the records with unique ids: repeated ones get `~2`, `~3`, ... and `duplicate_of` as source metadata."""
    times_seen: dict[str, int] = {}
    for record in records:
        n = times_seen.get(record.source_id, 0) + 1
        times_seen[record.source_id] = n
        if n == 1:
            yield record
            continue
        while (name := f"{record.source_id}~{n}") in times_seen:
            n += 1
        times_seen[record.source_id] = n
        times_seen[name] = 1
        yield replace(
            record, source_id=name, source_metadata={**record.source_metadata, "duplicate_of": record.source_id}
        )
