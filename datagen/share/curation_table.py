"""Curation tables of derived datasets: joined as a stream, with new row numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.atomic_write import replacing
from curation.table import COMPRESSION, VERDICT_SCHEMA
from datagen.errors import StoreError
from datagen.progress import one_line
from datagen.share.finished import FinishedDataset
from datagen.steps.structures_table import ADDED
from datagen.store.bounded_table import CURATION_TABLE, TableLimitError, read_batches
from datagen.store.files import from_json

METADATA_KEY = b"pxrd_datagen"
_TIMING = "seconds"
"""Column of curation that is not kept in datasets."""

SourceRow = tuple[int, int]
"""Number of the source, and row in it."""


def write_lines(
    path: Path,
    sources: Sequence[FinishedDataset],
    new_rows: Mapping[SourceRow, int],
    kept_row_of: Mapping[SourceRow, SourceRow],
    *,
    only_rows: bool,
    columns: Container[str] | None = None,
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda line: line,
    change_metadata: Callable[[Any], Any] = lambda metadata: metadata,
) -> None:
    """Join the sources' tables, in order, under the new dataset's row numbers.

    `new_rows` maps rows of the sources to rows of the new dataset, `kept_row_of` duplicates that are left out to the
    row that is kept. `only_rows` drops lines without a row. `columns` selects columns and gives them this version's
    descriptions; None keeps all as they are. `change` and `change_metadata` convert each line and the table's metadata.
    """
    numbers = _LineNumbers(sources, new_rows, kept_row_of, only_rows=only_rows)
    schema = _common_schema(sources)
    if columns is not None:
        schema = pa.schema([_FIELDS.get(field.name, field) for field in schema if field.name in columns])
    metadata = json.dumps(change_metadata(_metadata(sources, numbers.counts))).encode()
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema.with_metadata({METADATA_KEY: metadata}), **COMPRESSION) as out,
    ):
        for number, batch in _batches(sources, schema.names):
            kept = []
            for entry in batch.to_pylist():
                row = entry["row"]
                entry["duplicate_of"] = numbers.line_duplicated_by(number, row, entry["duplicate_of"])
                entry["row"] = new_rows.get((number, row))
                if entry["row"] is not None or not only_rows:
                    kept.append(change(entry))
            if kept:
                out.write_table(pa.Table.from_pylist(kept, schema=out.schema))


_FIELDS = {field.name: field for field in (*VERDICT_SCHEMA, *ADDED)}


def source_metadata_by_catalog(source: FinishedDataset) -> dict[str, set[str]]:
    """Return the names of the source metadata that rows of the dataset have, by catalog."""
    found: dict[str, set[str]] = {}
    for batch in batches(source, ["source", "source_metadata"]):
        for line in batch.to_pylist():
            found.setdefault(line["source"], set()).update(source_metadata_of(source, line))
    return found


class _LineNumbers:
    """Line numbers of the new table by source, row and line."""

    def __init__(
        self,
        sources: Sequence[FinishedDataset],
        new_rows: Mapping[SourceRow, int],
        kept_row_of: Mapping[SourceRow, SourceRow],
        *,
        only_rows: bool,
    ) -> None:
        self._sources = sources
        self._kept_row_of = kept_row_of
        self._row_at: list[list[int | None]] = []
        self._line_of: dict[SourceRow, int] = {}
        self.counts: Counter[str] = Counter()
        """Number of lines of the new table by verdict."""
        line = 0
        for number, source in enumerate(sources):
            rows: list[int | None] = []
            self._row_at.append(rows)
            seen: set[int] = set()
            lines = (line for _, batch in _batches([source], ["row", "status", "reason"]) for line in batch.to_pylist())
            for row, status, reason in (tuple(each.values()) for each in lines):
                rows.append(row)
                if row is not None and (row in seen or not 0 <= row < source.layout.n_structures):
                    raise _malformed(source, f"line {len(rows) - 1} names row {row}, which is taken or does not exist")
                if row is not None:
                    seen.add(row)
                taken = row is not None and (number, row) in new_rows
                if row is not None and taken:
                    self._line_of[number, row] = line
                if taken or not only_rows:
                    self.counts[status if status == "accepted" else reason] += 1
                    line += 1
            if len(seen) != source.layout.n_structures:
                raise _malformed(
                    source, f"expected a line for each of {source.layout.n_structures} rows, found {len(seen)}"
                )

    def line_duplicated_by(self, number: int, row: int | None, duplicate_of: int | None) -> int | None:
        """Return the line of which a source's line is a duplicate; None if it is a duplicate of none."""
        rows = self._row_at[number]
        if duplicate_of is not None and not 0 <= duplicate_of < len(rows):
            raise _malformed(
                self._sources[number], f"a line is a duplicate of line {duplicate_of}, which does not exist"
            )
        first = row if duplicate_of is None else rows[duplicate_of]
        if first is None or (duplicate_of is None and (number, first) not in self._kept_row_of):
            return None
        kept = self._kept_row_of.get((number, first), (number, first))
        return None if kept == (number, row) else self._line_of.get(kept)


def batches(source: FinishedDataset, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns of a dataset's table, a few thousand lines at a time, in this order."""
    _schema(source)
    with _read_errors(source), source.verdicts() as file:
        yield from read_batches(file, names)


def _batches(sources: Sequence[FinishedDataset], names: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    for number, source in enumerate(sources):
        for batch in batches(source, names):
            yield number, batch


def _common_schema(sources: Sequence[FinishedDataset]) -> pa.Schema:
    schemas = [_schema(source) for source in sources]
    for source, schema in zip(sources, schemas, strict=True):
        if not schema.equals(schemas[0]):
            different = sorted(set(map(str, schema)) ^ set(map(str, schemas[0])))
            raise StoreError(
                f"{source.path}: its {CURATION_TABLE} has different columns from that of {sources[0].path} "
                f"({one_line(', '.join(different), 500)}); make both with the same version of pxrd-datagen"
            )
    return schemas[0].remove_metadata()


def _schema(source: FinishedDataset) -> pa.Schema:
    """Return the columns of a dataset's table, which must have this version's with their types."""
    with _read_errors(source), source.verdicts() as file:
        found = pq.read_schema(file)
    for field in _FIELDS.values():
        if field.name == _TIMING:
            continue
        columns_found = found.get_all_field_indices(field.name)
        if len(columns_found) != 1 or found.field(columns_found[0]).type != field.type:
            types = ", ".join(str(found.field(index).type) for index in columns_found) or "none"
            raise _malformed(source, f"expected one column {field.name} of type {field.type}, found {types}")
    return found


@contextmanager
def _read_errors(source: FinishedDataset) -> Iterator[None]:
    try:
        yield
    except TableLimitError as error:
        raise _malformed(source, str(error)) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _malformed(source, f"it is not a Parquet table that can be read ({one_line(error, 200)})") from error


def _malformed(source: FinishedDataset, what: str) -> StoreError:
    return StoreError(f"{source.path}/{CURATION_TABLE}: {what}; fetch the dataset again")


def _metadata(sources: Sequence[FinishedDataset], counts: Counter[str]) -> dict[str, Any]:
    try:
        first: dict[str, Any] = from_json((_schema(sources[0]).metadata or {})[METADATA_KEY])
        fingerprint = dict(first["fingerprint"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(sources[0], "its metadata has no settings of the curation") from error
    fingerprint["catalog"] = [c for source in sources for c in source.configuration["catalog"]]
    return {**first, "n_records": counts.total(), "counts": dict(sorted(counts.items())), "fingerprint": fingerprint}


def source_metadata_of(source: FinishedDataset, line: dict[str, Any]) -> dict[str, Any]:
    """Return the source metadata of a record."""
    try:
        return dict(json.loads(line["source_metadata"]))
    except (TypeError, ValueError, RecursionError) as error:
        raise _malformed(source, "the source metadata of a line is not a JSON object") from error
