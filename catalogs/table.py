"""CSV, Parquet and Feather tables with a structure in each row, read in batches."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from catalogs import databases, defects
from catalogs.arrow_size import inflated_bytes
from catalogs.config import TableCatalog
from catalogs.densities import density_format
from catalogs.errors import CatalogError, NoStructuresError
from catalogs.formats import format_of_text
from catalogs.names import is_database
from catalogs.reading import MB, Place, too_large
from catalogs.record import Defect, DensityRef, Record
from catalogs.selection import check_fields
from catalogs.text import printable

ID_COLUMNS = ("material_id", "immutable_id", "id")
STRUCTURE_COLUMNS = ("cif", "structure", "poscar")
OPTIMADE_COLUMNS = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")
VERDICTS_KEY = b"pxrd_datagen"
"""Key of the metadata of tables of verdicts (`curation.parquet`)."""
MORE_OPTIMADE_COLUMNS = ("species", "dimension_types")
HEAD_CHARACTERS = 20_000
"""By which the format of a cell is recognised."""
BATCH_ROWS = 64
"""Rows of a Parquet file held at a time: with CIFs of up to some MB that stays below a few hundred MB."""

_LINE_CHARACTERS = 1_000_000
LARGEST_INFLATION, INFLATED_BYTES = 200, 1_000_000_000
"""A Parquet file over both limits is refused as a decompression bomb: CIF text compresses 5 to 30 times."""

Row = Sequence[Any]


def records(config: TableCatalog, raw: bytes | None = None) -> Iterator[Record]:
    """Yield a record per structure of every row; other columns become source metadata, as text.

    `raw` is the file's content if it is in memory. Raises CatalogError, its subclass `NoStructuresError` if there is no
    column with structures.
    """
    name = config.path.name.lower()
    if is_database(name):
        yield from databases.records(config, raw)
        return
    if name.endswith((".csv", ".csv.gz")):
        rows = _csv_rows(config, raw)
    else:
        rows = _feather_rows(config, raw) if name.endswith((".feather", ".arrow")) else _parquet_rows(config, raw)
    header = next(rows)
    if isinstance(header, Defect):
        raise CatalogError(
            f"the first row of the table {config.path} cannot be read: {header.detail}",
            where=f"catalog {config.name!r}",
            expected="a row with the names of the columns",
            do="fetch the table again",
        )
    columns = _Columns(config, [str(name) for name in header])
    check_fields(config, columns.metadata_names())
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Defect) and row.reason == defects.TOO_LARGE:
            name = f"row {number}"
            yield Place(config.name, name, f"{config.path}!{name}", config.licence).refused(row)
        elif isinstance(row, Defect):
            place = Place(config.name, config.path.name, str(config.path), config.licence)
            yield place.refused(Defect(row.reason, f"after {number - 1} rows: {row.detail}"))
            return
        else:
            yield from columns.records_of_row(number, row)


class _Columns:
    """Roles of the columns."""

    def __init__(self, config: TableCatalog, header: list[str]) -> None:
        self.config = config
        self.names = [printable(name) or f"column {i}" for i, name in enumerate(header, start=1)]
        self.structure = self._structure_columns()
        self.density = self._index(config.density_column, "density_column") if config.density_column else None
        self.id: int | None = None
        if config.id_column is not None:
            self.id = self._index(config.id_column, "id_column")
        else:
            self.id = next((self.names.index(name) for name in ID_COLUMNS if name in self.names), None)

    def _structure_columns(self) -> dict[str, int]:
        """Return the columns with the structure: one of text, or OPTIMADE's."""
        if self.config.structure_column is not None:
            return {"": self._index(self.config.structure_column, "structure_column")}
        for name in STRUCTURE_COLUMNS:
            if name in self.names:
                return {"": self.names.index(name)}
        if set(OPTIMADE_COLUMNS) <= set(self.names):
            chosen = (*OPTIMADE_COLUMNS, *(name for name in MORE_OPTIMADE_COLUMNS if name in self.names))
            return {name: self.names.index(name) for name in chosen}
        raise NoStructuresError(
            f"the table {self.config.path} has no column with structures",
            where=f"catalog {self.config.name!r}",
            expected=f"{', '.join(STRUCTURE_COLUMNS)}, or OPTIMADE's {', '.join(OPTIMADE_COLUMNS)}",
            found=", ".join(repr(known) for known in self.names[:20]),
            do="set structure_column to one of these",
        )

    def _index(self, name: str, option: str) -> int:
        if name in self.names:
            return self.names.index(name)
        raise CatalogError(
            f"the table {self.config.path} has no column {name!r}",
            where=f"catalog {self.config.name!r}",
            expected=f"the column named by {option}",
            found=", ".join(repr(known) for known in self.names[:20]),
            do=f"set {option} to one of these",
        )

    def metadata_names(self) -> list[str]:
        """Return the columns that become source metadata."""
        return [name for i, name in enumerate(self.names) if i not in self.structure.values()]

    def records_of_row(self, number: int, row: Row) -> Iterator[Record]:
        source_metadata = {
            name: _as_text(cell)
            for i, (name, cell) in enumerate(zip(self.names, row, strict=False))
            if i not in self.structure.values() and cell is not None
        }
        row_id = _as_text(row[self.id]).strip() if self.id is not None and self.id < len(row) else ""
        place = Place(
            self.config.name,
            row_id or f"row {number}",
            f"{self.config.path}!row {number}",
            self.config.licence,
            source_metadata,
            self._density_for(row),
        )
        if len(row) != len(self.names):
            detail = f"{len(row)} cells in a row of a table with {len(self.names)} columns"
            yield place.refused(Defect(defects.DAMAGED_ENTRY, detail))
            return
        raw = self._structure_of(row)
        if len(raw) > self.config.max_file_MB * MB:
            yield place.refused(too_large(f"{len(raw) / MB:.0f} MB in one cell"))
        else:
            head = raw[:HEAD_CHARACTERS].decode("utf-8", "replace").removeprefix("\ufeff")
            yield from replace(place, format=format_of_text(head)).records(raw)

    def _structure_of(self, row: Row) -> bytes:
        if "" in self.structure:
            return _as_bytes(row[self.structure[""]])
        found = {name: _as_json(row[i]) for name, i in self.structure.items() if row[i] is not None}
        return json.dumps(found).encode()

    def _density_for(self, row: Row) -> Any:
        if self.density is None or self.density >= len(row):
            return None
        named = _as_text(row[self.density]).strip()
        path = self.config.path.parent / named
        return lambda _block: DensityRef(path, density_format(path.name)) if named and path.is_file() else None


def _csv_rows(config: TableCatalog, raw: bytes | None) -> Iterator[Any]:
    """Yield the header, then the rows; a Defect for a row that is too large, and last where the file breaks off."""
    limit = 2 * int(config.max_file_MB * MB)
    # The limit is the module's own, shared by the process, so it is only raised.
    csv.field_size_limit(max(csv.field_size_limit(), limit))
    header = None
    with _open_text(config, raw) as stream:
        try:
            for text in _csv_lines(stream, limit):
                row = text if isinstance(text, Defect) else next(csv.reader([text], strict=False))
                if header is None and isinstance(row, list):
                    header = row
                if row:
                    yield row
        except (csv.Error, EOFError, zlib.error, OSError) as error:
            yield Defect(defects.DAMAGED_SOURCE, str(error))
    if header is None:
        raise CatalogError(f"the table {config.path} is empty", where=f"catalog {config.name!r}", do="fetch it again")


def _csv_lines(stream: IO[str], limit: int) -> Iterator[str | Defect]:
    """Yield the text of each row, whose quoted cells may span lines; a Defect for one beyond the limit.

    csv.reader would give up at an oversized cell and lose all rows after it.
    """
    parts: list[str] = []
    size, is_quoted = 0, False
    while part := stream.readline(_LINE_CHARACTERS):
        is_quoted = _ends_quoted(part, is_quoted, is_row_start=size == 0)
        size += len(part)
        if size <= limit:
            parts.append(part)
        if part.endswith("\n") and not is_quoted:
            yield "".join(parts) if size <= limit else too_large(f"a row of {size / MB:.0f} MB")
            parts, size = [], 0
    if is_quoted:
        yield Defect(defects.DAMAGED_SOURCE, "a quotation is never closed")
    elif size:
        yield "".join(parts) if size <= limit else too_large(f"a row of {size / MB:.0f} MB")


def _ends_quoted(part: str, is_quoted: bool, is_row_start: bool) -> bool:
    """Return whether a cell in quotes is open after `part`. As csv.reader: a quote opens only where a cell begins."""
    at = 0
    while True:
        if is_quoted:
            at = part.find('"', at)
            if at < 0:
                return True
            is_escaped = part.startswith('""', at)
            is_quoted = is_escaped
            at += 2 if is_escaped else 1
        elif at == 0 and is_row_start and part.startswith('"'):
            is_quoted, at = True, 1
        else:
            at = part.find(',"', at)
            if at < 0:
                return False
            is_quoted, at = True, at + 2


def _open_text(config: TableCatalog, raw: bytes | None) -> IO[str]:
    """Open the file as text; bytes that are not UTF-8 become surrogates, which are decoded per cell."""
    try:
        if config.path.name.lower().endswith(".gz"):
            source = config.path if raw is None else BytesIO(raw)
            return gzip.open(source, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
        if raw is not None:
            return TextIOWrapper(BytesIO(raw), encoding="utf-8-sig", errors="surrogateescape", newline="")
        return config.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise _cannot_open(config, config.path, error) from error


def _parquet_rows(config: TableCatalog, raw: bytes | None) -> Iterator[Any]:
    source = config.path if raw is None else pa.BufferReader(raw)
    try:
        schema = pq.read_schema(source)
        texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        table = pq.ParquetFile(source, read_dictionary=texts)
        names = list(table.schema_arrow.names)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _cannot_open(config, config.path, error) from error
    if VERDICTS_KEY in (schema.metadata or {}):
        raise NoStructuresError(
            f"the table {config.path} is one of verdicts, which datagen wrote",
            where=f"catalog {config.name!r}",
            expected="a table of structures",
            do="name the structures from which it was made",
        )
    with table:
        inflated = sum(table.metadata.row_group(i).total_byte_size for i in range(table.metadata.num_row_groups))
        _refuse_bomb(config, inflated, config.path.stat().st_size if raw is None else len(raw))
        yield names
        try:
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                yield from zip(*map(_cells, batch.columns), strict=True)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            yield Defect(defects.DAMAGED_SOURCE, str(error))


def _feather_rows(config: TableCatalog, raw: bytes | None) -> Iterator[Any]:
    """Yield the header, then the rows of a Feather file of version 2, which is an Arrow file."""
    try:
        file = pa.memory_map(str(config.path)).read_buffer() if raw is None else pa.py_buffer(raw)
        table = pa.ipc.open_file(file)
        names = list(table.schema.names)
        inflated = inflated_bytes(memoryview(file))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _cannot_open(config, config.path, error) from error
    _refuse_bomb(config, inflated, file.size)
    yield names
    try:
        for number in range(table.num_record_batches):
            batch = table.get_batch(number)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield from zip(*map(_cells, batch.slice(start, BATCH_ROWS).columns), strict=True)
    except (OSError, pa.ArrowException) as error:
        yield Defect(defects.DAMAGED_SOURCE, str(error))


def _refuse_bomb(config: TableCatalog, inflated: int, size: int) -> None:
    if inflated > INFLATED_BYTES and inflated > LARGEST_INFLATION * size:
        raise CatalogError(
            f"the table {config.path} inflates from {size / MB:.2f} MB to {inflated / MB:,.0f} MB",
            where=f"catalog {config.name!r}",
            expected=f"at most {LARGEST_INFLATION} times its size",
            do="do not use this file; write a trusted table of this kind with less compression",
        )


def _cells(column: Any) -> list[Any]:
    """Return the cells of a column, its text as bytes: Arrow does not check that text is UTF-8.

    A repeated value is one object: 64 rows of one 70 MB text would take 4.4 GB otherwise.
    """
    if pa.types.is_dictionary(column.type):
        values = _cells(column.dictionary)
        return [None if i is None else values[i] for i in column.indices.to_pylist()]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    cells: list[Any] = column.to_pylist()
    return cells


def _cannot_open(config: TableCatalog, path: Path, error: Exception) -> CatalogError:
    return CatalogError(
        f"the table {path} cannot be opened",
        where=f"catalog {config.name!r}",
        expected="a CSV, Parquet or Feather file",
        found=(error.strerror if isinstance(error, OSError) else None) or str(error),
        do="correct its path, or fetch it again if it is damaged",
    )


def _as_text(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return "" if cell is None else printable(str(cell))


def _as_json(cell: object) -> object:
    """Return a cell of OPTIMADE's columns: lists in Parquet, JSON text in CSV."""
    if isinstance(cell, str | bytes):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return _as_text(cell)
    return cell


def _as_bytes(cell: object) -> bytes:
    if isinstance(cell, bytes):
        return cell
    if isinstance(cell, dict | list):
        return json.dumps(cell, default=str).encode()
    return b"" if cell is None else str(cell).encode("utf-8", "surrogateescape")
