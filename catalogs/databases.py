"""Databases of structures: ASE's SQLite files (`.db`) and fairchem's LMDB files (`.aselmdb`, `.lmdb`).

Both are read without their libraries, so that a damaged or hostile file is a defect or an error. Python pickles, which
older LMDB data sets hold, are never read: a pickle can run any code.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import IO

from catalogs import ase_sqlite, defects, lmdb_file
from catalogs.ase_row import piece_of
from catalogs.config import TableCatalog
from catalogs.densities import density_format
from catalogs.errors import CatalogError, NoStructuresError, UnsafeFileError
from catalogs.reading import MB, Place, too_large
from catalogs.record import Defect, DensityRef, Piece, Record
from catalogs.text import printable

ID_KEYS = ("material_id", "immutable_id")
"""Keys of a row that name it, before its number."""
_RESERVED = (b"nextid", b"deleted_ids", b"metadata", b"length")
"""Keys of an LMDB file that hold no structure."""
_PICKLE = b"\x80"
_HEAD_BYTES = 64


def records(config: TableCatalog, raw: bytes | None = None) -> Iterator[Record]:
    """Yield a record per row, with the row's keys as source metadata; `raw` is the file's content if it is in memory.

    Raises CatalogError for what is no such database, its subclass `NoStructuresError` if it is another kind of file.
    """
    for n_rows, piece in enumerate(_pieces(config, raw), start=1):
        named = piece.name if isinstance(piece, Piece) else ""
        metadata = piece.metadata if isinstance(piece, Piece) else {}
        if n_rows == 1 and config.id_column is not None and named and config.id_column not in metadata:
            raise _no_such_key(config, config.id_column, metadata)
        keys = (config.id_column,) if config.id_column else ID_KEYS
        name = next((metadata[key] for key in keys if metadata.get(key)), "") or named or f"row {n_rows}"
        is_end = isinstance(piece, Defect) and piece.reason == defects.DAMAGED_SOURCE
        place = Place(
            config.name,
            config.path.name if is_end else name,
            str(config.path) if is_end else f"{config.path}!row {named or n_rows}",
            config.licence,
            {printable(key): printable(value) for key, value in metadata.items()},
            _density_for(config, metadata),
            format="json",
        )
        if isinstance(piece, Defect):
            yield place.refused(piece)
        elif len(piece.text) > config.max_file_MB * MB:
            yield place.refused(too_large(f"{len(piece.text) / MB:.0f} MB in one row"))
        else:
            yield place.record(piece.text)


def _no_such_key(config: TableCatalog, key: str, metadata: dict[str, str]) -> CatalogError:
    return CatalogError(
        f"the first row of the database {config.path} has no key {key!r}",
        where=f"catalog {config.name!r}",
        expected="the key named by id_column",
        found=", ".join(map(repr, list(metadata)[:20])) or "no keys",
        do="set id_column to one of these, or remove it",
    )


def _density_for(config: TableCatalog, metadata: dict[str, str]) -> Callable[[str], DensityRef | None] | None:
    if config.density_column is None:
        return None
    named = metadata.get(config.density_column, "").strip()
    path = config.path.parent / named
    return lambda _block: DensityRef(path, density_format(path.name)) if named and path.is_file() else None


def _pieces(config: TableCatalog, raw: bytes | None) -> Iterator[Piece | Defect]:
    if config.structure_column is not None:
        raise CatalogError(
            f"structure_column = {config.structure_column!r} is given for the database {config.path}",
            where=f"catalog {config.name!r}",
            expected="no structure_column: the structure of a row is in columns that are known",
            do="remove structure_column",
        )
    largest = int(config.max_file_MB * MB)
    try:
        with BytesIO(raw) if raw is not None else config.path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
            if lmdb_file.is_lmdb(head):
                yield from _lmdb_pieces(config, stream, largest)
                return
        if not head.startswith(ase_sqlite.MAGIC):
            raise NoStructuresError(
                f"{config.path} is no database that is read",
                where=f"catalog {config.name!r}",
                expected="ASE's SQLite format or fairchem's ASE-LMDB format",
                found=f"a file that begins with {head[:16]!r}",
                do="correct its path, or write the structures in another format of docs/structures.md",
            )
        yield from ase_sqlite.pieces(config.path if raw is None else raw, largest)
    except OSError as error:
        raise _cannot_read(config, error.strerror or str(error), CatalogError) from error
    except ase_sqlite.DamagedAseError as error:
        raise _cannot_read(config, str(error), CatalogError) from error
    except ase_sqlite.NotAseError as error:
        raise _cannot_read(config, str(error), NoStructuresError) from error


def _lmdb_pieces(config: TableCatalog, stream: IO[bytes], largest: int) -> Iterator[Piece | Defect]:
    n_read = 0
    try:
        for key, value in lmdb_file.entries(stream, largest):
            if key in _RESERVED:
                continue
            if n_read == 0 and isinstance(value, bytes) and value.startswith(_PICKLE):
                raise UnsafeFileError(
                    f"{config.path} holds Python pickles, which can run any code when they are read",
                    where=f"catalog {config.name!r}",
                    expected="fairchem's ASE-LMDB format (.aselmdb), whose rows are compressed JSON",
                    do="where you trust the file, load its entries with the program that wrote it and save them with "
                    "ase.io.write('structures.extxyz', ...)",
                )
            n_read += 1
            yield _lmdb_piece(key, value, largest)
    except lmdb_file.DamagedLmdbError as error:
        if n_read == 0:
            raise _cannot_read(config, str(error), CatalogError) from error
        yield Defect(defects.DAMAGED_SOURCE, f"after {n_read} rows: {error}")


def _lmdb_piece(key: bytes, value: bytes | lmdb_file.LargeValue, largest: int) -> Piece | Defect:
    name = printable(key.decode("utf-8", "surrogateescape"))
    if isinstance(value, lmdb_file.LargeValue):
        return too_large(f"row {name}: {value.size / MB:.0f} MB")
    try:
        inflating = zlib.decompressobj()
        text = inflating.decompress(value, largest + 1)
        if len(text) > largest:
            return too_large(f"row {name}: more than {largest / MB:g} MB after decompression")
        return piece_of(json.loads(text), name)
    except (zlib.error, ValueError, RecursionError) as error:
        return Defect(defects.DAMAGED_ENTRY, f"row {name} is no compressed JSON: {error or type(error).__name__}")


def _cannot_read(config: TableCatalog, found: str, kind: type[CatalogError]) -> CatalogError:
    return kind(
        f"the database {config.path} cannot be read",
        where=f"catalog {config.name!r}",
        expected="ASE's SQLite format or fairchem's ASE-LMDB format",
        found=found,
        do="correct its path, or fetch it again if it is damaged",
    )
