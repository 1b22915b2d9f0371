"""Reading of Parquet tables of untrusted datasets, limited in lines and in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CURATION_TABLE = "curation.parquet"
"""The verdict on every input, in a dataset and in a folder by `datagen curate`."""
MAX_LINES = 100_000_000
MAX_BATCH_BYTES = 300_000_000
"""Largest batch in memory, where a text of a few stored bytes may be repeated in every line."""
BATCH_LINES = 4096
_POINTER_BYTES = 8
"""Of an item of a Python list."""


class TableLimitError(ValueError):
    """A table that would take more memory than a table of this program does."""


def count_groups(file: Any) -> int:
    """Return the number of row groups of a table."""
    with pq.ParquetFile(file) as table:
        return int(table.num_row_groups)


def read_batches(file: Any, names: Sequence[str], group: int | None = None) -> Iterator[pa.RecordBatch]:
    """Yield these columns in batches of `BATCH_LINES` lines, of one row group or of all.

    Raise TableLimitError before a batch is expanded.
    """
    with pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        _check_counts(table.metadata)
        leaves = [table.schema.column(i).path for i in range(len(table.schema))]
    # A text read as a dictionary takes its memory once, however often it repeats.
    with pq.ParquetFile(file, read_dictionary=leaves) as table:
        for batch in _batches(table, names, range(table.num_row_groups) if group is None else (group,)):
            columns = [batch.column(name) for name in names]
            n_bytes = sum(map(_expanded_bytes, columns))
            if n_bytes > MAX_BATCH_BYTES:
                raise TableLimitError(
                    f"expected at most {MAX_BATCH_BYTES:,} bytes in {BATCH_LINES:,} lines, found {n_bytes:,}"
                )
            fields = [schema.field(name) for name in names]
            arrays = [column.cast(field.type) for column, field in zip(columns, fields, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _batches(table: pq.ParquetFile, names: Sequence[str], groups: Iterable[int]) -> Iterator[pa.RecordBatch]:
    """Yield batches of one row group after another: Arrow cannot join the dictionaries of two in a list of texts."""
    for group in groups:
        yield from table.iter_batches(batch_size=BATCH_LINES, row_groups=[group], columns=list(names))


def read_lines(file: Any, filters: Sequence[tuple[str, str, Any]]) -> list[dict[str, Any]]:
    """Return the lines that pass a filter, every column; raise TableLimitError for a table of too many lines."""
    with pq.ParquetFile(file) as table:
        _check_counts(table.metadata)
        leaves = [table.schema.column(i).path for i in range(len(table.schema))]
    lines: list[dict[str, Any]] = pq.read_table(file, filters=list(filters), read_dictionary=leaves).to_pylist()
    return lines


def _check_counts(metadata: pq.FileMetaData) -> None:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    n_values = max((group.column(j).num_values for group in groups for j in range(group.num_columns)), default=0)
    if max(metadata.num_rows, n_values) > MAX_LINES:
        raise TableLimitError(
            f"expected at most {MAX_LINES:,} lines and values of a column, found {max(metadata.num_rows, n_values):,}"
        )


def _expanded_bytes(column: pa.Array) -> int:
    """Return the bytes of a column whose texts are stored once each, when every line has its own."""
    if pa.types.is_list(column.type):
        items = column.flatten()
        return _expanded_bytes(items) + _POINTER_BYTES * len(items)
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0) + int(column.indices.nbytes)
