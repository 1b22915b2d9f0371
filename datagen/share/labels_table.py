"""Labels of a dataset as one Parquet table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.atomic_write import replacing
from curation.labels import CRYSTAL_SYSTEMS
from datagen.share.finished import FinishedDataset
from datagen.share.licences import Terms
from datagen.store import schema
from datagen.store.schema import SPLITS

LABELS_TABLE = "labels.parquet"


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, metadata={"description": description})


_WHOLE = ("space_group", "n_atoms")
SCHEMA = pa.schema(
    [
        _field("row", pa.int64(), "Row of the arrays"),
        *(_field(v.name, pa.string(), v.long_name) for v in schema.LABELS if schema.is_text(v)),
        _field("split", pa.string(), "Split: train, validation or test"),
        _field("crystal_system", pa.string(), "Crystal system"),
        _field("space_group", pa.int64(), "Space-group number of International Tables A, 1 to 230"),
        _field("n_atoms", pa.int64(), "Atomic sites in the primitive cell"),
        _field("volume", pa.float64(), "Volume of the primitive cell, cubic angstrom"),
        *(
            _field(f"niggli_{name}", pa.float64(), f"Niggli-reduced primitive cell: {name}, angstrom or degree")
            for name in schema.NIGGLI
        ),
        _field("withheld", pa.bool_(), "Whether coordinates, sticks, densities and source text are withheld"),
    ]
)


def write_labels(dataset: FinishedDataset, terms: Terms, path: Path) -> None:
    """Write the labels of the rows that the terms publish."""
    licences = dataset.column("licence").tolist()
    rows = np.array([i for i, licence in enumerate(licences) if terms.publishes(licence)], dtype=np.int64)
    columns: dict[str, Any] = {"row": np.arange(len(rows))}
    for variable in schema.LABELS:
        if schema.is_text(variable):
            columns[variable.name] = dataset.column(variable.name)[rows].tolist()
    columns["split"] = [SPLITS[i] for i in dataset.column("split")[rows].tolist()]
    columns["crystal_system"] = [
        ("unknown", *CRYSTAL_SYSTEMS)[i] for i in dataset.column("crystal_system")[rows].tolist()
    ]
    for name in (*_WHOLE, "volume"):
        columns[name] = dataset.column(name)[rows]
    for position, name in enumerate(schema.NIGGLI):
        columns[f"niggli_{name}"] = dataset.column("niggli")[rows, position]
    columns["withheld"] = [terms.withholds(licences[i]) for i in rows.tolist()]
    arrays = [pa.array(columns[field.name], type=field.type) for field in SCHEMA]
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), temporary, compression="zstd")
