"""The lines of `curation.parquet` of which an index is made, read from a dataset that may be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.table import VERDICT_SCHEMA
from datagen.errors import DatagenError
from datagen.identification.index import TABLE
from datagen.store.bounded_table import count_groups, read_batches
from datagen.store.damaged import damage_explained
from datagen.store.location import Location

_COLUMNS = (
    "structure", "row", "status", "space_group", "symprec_A", "angle_tolerance_deg", "space_group_at", "formula",
    "source", "source_id", "group",
)  # fmt: skip


def count_parts(location: Location) -> int:
    """Return the number of parts in which a dataset's lines can be read, each by itself."""
    with damage_explained(location, TABLE), location.arrow_file(TABLE) as source:
        return count_groups(source)


def structures_of(location: Location, part: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the lines of a dataset's structures, in their order, of one part or of all.

    Raise StoreError for a damaged table.
    """
    with damage_explained(location, TABLE):
        opened = location.arrow_file(TABLE)
    with opened as source:
        with damage_explained(location, TABLE):
            columns = pq.read_schema(source)
            missing = [name for name in _COLUMNS if name not in columns.names]
            if not missing:
                _refuse_other_types(columns)
            batches = read_batches(source, _COLUMNS, part)
        if missing:
            raise DatagenError(f"{location}: its table {TABLE} has no column {missing[0]!r}, which an index needs")
        while True:
            with damage_explained(location, TABLE):
                batch = next(batches, None)
            if batch is None:
                return
            for line in batch.to_pylist():
                if line["row"] is not None and line["structure"]:
                    yield line


def _refuse_other_types(columns: pa.Schema) -> None:
    for name in _COLUMNS:
        wanted = VERDICT_SCHEMA.field(name).type if name in VERDICT_SCHEMA.names else pa.int64()
        found = columns.field(name).type
        checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_list)
        if [check(found) for check in checks] != [check(wanted) for check in checks]:
            raise ValueError(f"column {name}: expected {wanted}, found {found}")
