"""Records that a dataset does not have yet, told by source and identifier; changed and missing ones are reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from catalogs.record import Record
from curation.table import iterate_rows
from datagen.errors import PlanError
from datagen.progress import one_line

COLUMNS = ["source", "source_id", "text_hash"]
SHOWN = 3


@dataclass
class Known:
    """Records of a dataset, and what was noticed while its catalogs were read again."""

    text_hashes: dict[tuple[str, str], str]
    """Source and identifier -> hash of the text."""
    changed: list[str] = field(default_factory=list)
    seen: int = 0

    @classmethod
    def of(cls, table: Path) -> Known:
        """Return the records of a table of verdicts."""
        if not table.exists():
            raise PlanError(f"{table}: expected the verdicts of the run that made the dataset, found no file")
        if missing := set(COLUMNS) - set(pq.read_schema(table).names):
            raise PlanError(
                f"{table}: expected a column {min(missing)}, which older versions did not write; make the new "
                "structures a dataset of their own and join both with datagen merge"
            )
        rows = iterate_rows(table, COLUMNS, at_once=4096)
        return cls({(row["source"], row["source_id"]): row["text_hash"] for row in rows})

    def has(self, record: Record) -> bool:
        """Return whether the dataset has a record of this name; note if its text is another."""
        before = self.text_hashes.get((record.source, record.source_id))
        if before is None:
            return False
        self.seen += 1
        if before != record.text_hash:
            self.changed.append(record.source_id)
        return True

    def remarks(self) -> list[str]:
        """Return what a user should know of the records that the dataset has."""
        found = []
        if self.changed:
            names = ", ".join(one_line(name, 80) for name in self.changed[:SHOWN])
            more = f" and {len(self.changed) - SHOWN:,} more" if len(self.changed) > SHOWN else ""
            found.append(
                f"{len(self.changed):,} records have changed since they were read ({names}{more}); they are kept as "
                "they were: make a new dataset to take them as they are now"
            )
        if gone := len(self.text_hashes) - self.seen:
            found.append(f"{gone:,} records are no longer in the catalogs; what came of them is kept")
        return found


def new_records(records: Iterator[Record], known: Known) -> Iterator[Record]:
    """Yield the records that the dataset does not have."""
    return (record for record in records if not known.has(record))
