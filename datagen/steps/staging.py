"""Records of the catalogs as Parquet batches with a manifest, so that tasks need a path only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from catalogs.atomic_write import sha256_of, sweep, write_text
from catalogs.record import Record
from catalogs.selection import Excluded
from curation.table import record_to_row, write_records
from datagen.errors import PlanError

MANIFEST = "staged.json"
FORMAT = 1
SMALLEST_BATCH, LARGEST_BATCH = 32, 512
BATCHES_AIMED_AT = 64
"""Batches grow with what came before, so that a small input spreads over processes and a large one is few files; each
is seconds to minutes of work, far shorter than any walltime. Their size is a function of the input alone."""
BATCH_BYTES = 32_000_000
"""Bounds memory where records are large; a single larger record is a batch by itself."""


@dataclass(frozen=True)
class Batch:
    """One file of staged records."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Staged:
    """All batches of one reading of the catalogs, in input order."""

    folder: Path
    fingerprint: dict[str, Any]
    """What they were read with; see `datagen.config.fingerprint`."""
    batches: tuple[Batch, ...]
    excluded: Excluded = field(default_factory=Excluded)
    """Records that the catalogs' conditions left out."""

    @property
    def n_records(self) -> int:
        """Number of records in all batches."""
        return sum(batch.rows for batch in self.batches)

    def path_of(self, batch: Batch) -> Path:
        """Return the path of a batch."""
        return self.folder / batch.file

    def verdicts_of(self, batch: Batch) -> Path:
        """Return the path of the verdicts on its records."""
        return self.folder / batch.file.replace("records-", "verdicts-")


def stage_records(
    records: Iterable[Record],
    folder: Path,
    fingerprint: dict[str, Any],
    *,
    batch_rows: int | None = None,
    batch_bytes: int = BATCH_BYTES,
    on_record: Callable[[Record], None] | None = None,
    excluded: Excluded | None = None,
) -> Staged:
    """Write records to batches in `folder` and, last, the manifest; memory is bounded by two batches.

    Batches of an interrupted attempt are replaced. The caller holds the folder's lock. `excluded` counts what the
    catalogs leave out while they are read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    discard_staged(folder)
    batches: list[Batch] = []
    with ThreadPoolExecutor(1) as writer:  # the batch is written while the next one is read
        under_way: Future[Batch] | None = None
        for number, rows in enumerate(_in_batches(records, batch_rows, batch_bytes, on_record)):
            if under_way is not None:
                batches.append(under_way.result())
            under_way = writer.submit(_write_batch, rows, folder / f"records-{number:06d}.parquet")
        if under_way is not None:
            batches.append(under_way.result())
    staged = Staged(folder, fingerprint, tuple(batches), excluded or Excluded())
    manifest = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "excluded": asdict(staged.excluded),
        "batches": [asdict(batch) for batch in batches],
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1))
    return staged


def _write_batch(rows: list[dict[str, Any]], path: Path) -> Batch:
    write_records(rows, path)
    return Batch(path.name, len(rows), sha256_of(path))


def read_staged(folder: Path) -> Staged | None:
    """Return what an earlier reading completed; None if there is none."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise PlanError(
                f"{folder / MANIFEST}: staged in format {manifest['format']}, this version reads {FORMAT}; "
                f"finish with the version that began, or delete {folder} to start again"
            )
        batches = tuple(Batch(**batch) for batch in manifest["batches"])
        return Staged(folder, manifest["fingerprint"], batches, Excluded(**manifest.get("excluded", {})))
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{folder / MANIFEST} is damaged ({error}); delete {folder} to start again") from error


def discard_staged(folder: Path) -> None:
    """Remove staged records, the manifest first, so that a manifest never lists missing batches."""
    with contextlib.suppress(FileNotFoundError):
        (folder / MANIFEST).unlink()
    for path in folder.glob("records-*.parquet"):
        path.unlink()
    sweep(folder)


def _in_batches(
    records: Iterable[Record], batch_rows: int | None, batch_bytes: int, on_record: Callable[[Record], None] | None
) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = before = 0
    for record in records:
        wanted = batch_rows or min(max(before // BATCHES_AIMED_AT, SMALLEST_BATCH), LARGEST_BATCH)
        if rows and (len(rows) >= wanted or size + len(record.text) > batch_bytes):
            yield rows
            before += len(rows)
            rows, size = [], 0
        rows.append(record_to_row(record))
        size += len(record.text)
        if on_record is not None:
            on_record(record)
    if rows:
        yield rows
