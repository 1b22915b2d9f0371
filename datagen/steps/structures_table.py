"""The table `curation.parquet` of a dataset: the verdict on every input, and its row if it has one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.atomic_write import replacing
from curation.table import COMPRESSION
from datagen.steps.accepted import TABLE_ROW, Accepted
from datagen.steps.quarantine import Quarantine
from datagen.steps.shard_task import NOTES
from datagen.steps.shards import Shard
from datagen.store import ledger
from datagen.store.bounded_table import CURATION_TABLE

_TIMING = "seconds"
"""Left out: everything else is a function of the inputs, and so is the file."""
_AT_ONCE = 4096

ADDED = (
    pa.field("row", pa.int64(), metadata={"description": "row of the dataset; null where there is none"}),
    pa.field(
        "duplicate_of",
        pa.int64(),
        metadata={"description": "line of this table, from 0, that this structure duplicates; null if it is kept"},
    ),
    pa.field("density_reason", pa.string(), metadata={"description": "reason for a missing density; null otherwise"}),
    pa.field("density_detail", pa.string(), metadata={"description": "details of that reason"}),
    pa.field("xrd_peaks_reason", pa.string(), metadata={"description": "reason for missing xrd_peaks; null otherwise"}),
    pa.field("xrd_peaks_detail", pa.string(), metadata={"description": "details of that reason"}),
)


def write_structures_table(
    dataset: Path, verdicts: Path, accepted: Accepted, shards: list[Shard], duplicates: dict[int, int], work: Path
) -> Counter[str]:
    """Join verdicts, plan, quarantine and receipts, streamed; return the counts of verdicts."""
    counts: Counter[str] = Counter()
    quarantine = Quarantine(work)
    table_rows = np.asarray(accepted.column(TABLE_ROW), dtype=np.int64)
    row_of = {int(table_rows[m]): s.first_row + i for s in shards for i, m in enumerate(s.members)}
    receipts = [receipt for shard, receipt in ledger.committed(dataset).items() if shard < len(shards)]
    refusals, without_peaks = (_noted(receipts, name) for name in NOTES)
    source = pq.ParquetFile(verdicts)
    kept = [field for field in source.schema_arrow if field.name != _TIMING]
    schema = pa.schema([*kept, *ADDED], metadata=_without_clock(source.schema_arrow.metadata))
    with replacing(dataset / CURATION_TABLE) as temporary, pq.ParquetWriter(temporary, schema, **COMPRESSION) as out:
        for line, batch in _lines(source, [field.name for field in kept]):
            rows = batch.to_pylist()
            for i, row in enumerate(rows, start=line):
                row |= {"row": row_of.get(i), "duplicate_of": duplicates.get(i)}
                row["density_reason"], row["density_detail"] = refusals.get(i, (None, None))
                row["xrd_peaks_reason"], row["xrd_peaks_detail"] = without_peaks.get(i, (None, None))
                found = quarantine.reason_of(row["structure_hash"]) if row["status"] == "accepted" else None
                if found is not None:
                    row |= {"status": "refused", "reason": found[0], "detail": found[1]}
                counts[row["reason"] or row["status"]] += 1
            out.write_table(pa.Table.from_pylist(rows, schema=schema))
    return counts


def _noted(receipts: list[ledger.Receipt], name: str) -> dict[int, tuple[str, str]]:
    """Return reason and detail by line of the table."""
    return {int(line): (reason, detail) for r in receipts for line, reason, detail in r.notes.get(name, [])}


def _lines(source: pq.ParquetFile, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    line = 0
    for batch in source.iter_batches(batch_size=_AT_ONCE, columns=columns):
        yield line, batch
        line += batch.num_rows


def _without_clock(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    """Return the metadata of the verdicts without the time of their curation."""
    found: dict[bytes, bytes] = {}
    for key, text in (metadata or {}).items():
        content: Any = json.loads(text) if text.startswith(b"{") else None
        if isinstance(content, dict):
            content.pop("created", None)
            text = json.dumps(content).encode()
        found[key] = text
    return found
