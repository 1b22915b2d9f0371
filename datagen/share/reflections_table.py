"""Reflections of the open structures of a publication as one Parquet table."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalogs.atomic_write import replacing
from datagen.share.finished import FinishedDataset
from datagen.share.licences import Terms
from datagen.share.row_reader import RowReader
from datagen.store import schema
from datagen.store.schema import Layout, Variable

REFLECTIONS_TABLE = "reflections.parquet"


def reflection_variables(layout: Layout) -> list[Variable]:
    """Return the variables with one value per reflection, as the store's schema has them."""
    return [v for v in schema.variables(layout) if v.dims[1:2] == ("reflection",)]


def rows_with_reflections(dataset: FinishedDataset, terms: Terms) -> list[int]:
    """Return the rows whose reflections the terms publish."""
    licences = dataset.column("licence").tolist()
    counts = dataset.column("n_reflections").tolist()
    return [
        row
        for row, (licence, count) in enumerate(zip(licences, counts, strict=True))
        if count > 0 and terms.publishes(licence) and not terms.withholds(licence)
    ]


def table_schema(layout: Layout) -> pa.Schema:
    """Return the columns: the row and, as lists, a column for each variable along the reflections."""
    fields = [pa.field("row", pa.int64(), metadata={"description": "Row of the arrays"})]
    for variable in reflection_variables(layout):
        kind: pa.DataType = pa.from_numpy_dtype(np.dtype(variable.dtype))
        for length in _inner(variable):
            kind = pa.list_(kind, length)
        described = {"description": f"{variable.long_name}, one of each reflection", "units": variable.units}
        fields.append(pa.field(variable.name, pa.list_(kind), metadata=described))
    return pa.schema(fields)


def write_reflections(dataset: FinishedDataset, terms: Terms, path: Path) -> None:
    """Write one row per open structure; `row` is its row in the arrays and in the labels table."""
    table, variables = table_schema(dataset.layout), reflection_variables(dataset.layout)
    reader = RowReader(dataset, dataset.layout, {v.name for v in variables})
    rows = rows_with_reflections(dataset, terms)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, table, compression="zstd") as writer:
        for _, shard in groupby(rows, key=lambda row: row // dataset.layout.structures_per_shard):
            batch = list(shard)  # memory holds the reflections of one shard
            values = [reader.values(row) for row in batch]
            columns = [pa.array(batch, type=pa.int64())]
            columns += [
                _lists([each[v.name] for each in values], table.field(v.name).type, _inner(v)) for v in variables
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=table))


def _lists(values: list[NDArray[np.generic]], kind: pa.DataType, inner: tuple[int, ...]) -> pa.Array:
    flat: pa.Array = pa.array(np.concatenate(values).ravel())
    for length in inner:
        flat = pa.FixedSizeListArray.from_arrays(flat, length)
    offsets = np.cumsum([0, *(len(each) for each in values)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat).cast(kind)


def _inner(variable: Variable) -> tuple[int, ...]:
    """Return the lengths of the axes after that of the reflections."""
    return variable.chunk[2:] if variable.chunk is not None else ()
