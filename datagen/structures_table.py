"""The table beside the arrays: the verdict on every input, and which row of the dataset, if any, came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.atomic import replacing
from curation.table import COMPRESSION
from datagen import ledger
from datagen.accepted import TABLE_ROW, Accepted
from datagen.plan import Shard
from datagen.quarantine import Quarantine

CURATION_TABLE = "curation.parquet"
_TIMING = "seconds"
"""Left out: everything else is a function of the inputs, and so is the file."""
_AT_ONCE = 4096

ADDED = (
    pa.field("row", pa.int64(), metadata={"description": "row of the dataset; null where there is none"}),
    pa.field(
        "duplicate_of",
        pa.int64(),
        metadata={"description": "line of this table, from 0, with the same structure; null where it is the first"},
    ),
    pa.field("density_reason", pa.string(), metadata={"description": "why the density was not taken; null otherwise"}),
    pa.field("density_detail", pa.string(), metadata={"description": "the facts of that in words"}),
)


def write_structures_table(
    dataset: Path, verdicts: Path, accepted: Accepted, shards: list[Shard], duplicates: dict[int, int], work: Path
) -> None:
    """Join verdicts, plan, quarantine and receipts; streamed, so that memory stays small."""
    quarantine = Quarantine(work)
    table_rows = np.asarray(accepted.column(TABLE_ROW), dtype=np.int64)
    row_of = {int(table_rows[m]): s.first_row + i for s in shards for i, m in enumerate(s.members)}
    refusals = {
        int(line): (reason, detail)
        for receipt in ledger.committed(dataset).values()
        for line, reason, detail in receipt.notes.get("density_refusals", [])
    }
    source = pq.ParquetFile(verdicts)
    kept = [field for field in source.schema_arrow if field.name != _TIMING]
    schema = pa.schema([*kept, *ADDED], metadata=_without_clock(source.schema_arrow.metadata))
    with replacing(dataset / CURATION_TABLE) as temporary, pq.ParquetWriter(temporary, schema, **COMPRESSION) as out:
        for line, batch in _lines(source, [field.name for field in kept]):
            rows = batch.to_pylist()
            for i, row in enumerate(rows, start=line):
                reason, detail = refusals.get(i, (None, None))
                row |= {"row": row_of.get(i), "duplicate_of": duplicates.get(i)}
                row |= {"density_reason": reason, "density_detail": detail}
                why = quarantine.why(row["structure_hash"]) if row["status"] == "accepted" else None
                if why is not None:
                    row |= {"status": "refused", "reason": why[0], "detail": why[1]}
            out.write_table(pa.Table.from_pylist(rows, schema=schema))


def _lines(source: pq.ParquetFile, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    line = 0
    for batch in source.iter_batches(batch_size=_AT_ONCE, columns=columns):
        yield line, batch
        line += batch.num_rows


def _without_clock(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    """The verdicts' own metadata, less the time of their making."""
    found: dict[bytes, bytes] = {}
    for key, text in (metadata or {}).items():
        content: Any = json.loads(text) if text.startswith(b"{") else None
        if isinstance(content, dict):
            content.pop("created", None)
            text = json.dumps(content).encode()
        found[key] = text
    return found
