"""Records of the catalogs as Parquet batches with a manifest, so that tasks need a path only.

Batches are curated while further records are read; the manifest is written when all have been.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

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
STOPS_WITHIN_s = 5.0
POLL_s = 0.5


@dataclass(frozen=True)
class Batch:
    """One file of staged records."""

    file: str
    rows: int
    sha256: str

    @property
    def verdicts(self) -> str:
        """Return the name of the file with the verdicts on its records."""
        return self.file.replace("records-", "verdicts-")


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


class Staging:
    """Records on their way into batches, read by a thread of its own: iterate it once, in a `with` statement.

    Each batch comes when it is written, and None when none is for half a second, so that the caller can look at other
    things meanwhile. When the iteration ends, the manifest is written too, and `staged` has it. Memory is bounded by
    two batches. Batches of an interrupted attempt are replaced; the caller holds the folder's lock. `excluded` counts
    what the catalogs leave out while they are read. `on_record` is called in the reading thread.
    """

    def __init__(
        self,
        records: Iterable[Record],
        folder: Path,
        fingerprint: dict[str, Any],
        *,
        batch_rows: int | None = None,
        batch_bytes: int = BATCH_BYTES,
        on_record: Callable[[Record], None] | None = None,
        excluded: Excluded | None = None,
    ) -> None:
        self.staged: Staged | None = None
        self._stop = threading.Event()
        self._records = records
        self._rows = _in_batches(records, batch_rows, batch_bytes, on_record, self._stop)
        self._folder, self._fingerprint = folder, fingerprint
        self._excluded = excluded or Excluded()
        self._ready: SimpleQueue[Batch | BaseException | None] = SimpleQueue()
        """Batches, and last None or what broke the reading off."""
        self._thread = threading.Thread(target=self._read, name="read catalogs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(STOPS_WITHIN_s)  # a source that does not answer is left behind; nothing more is written

    def __iter__(self) -> Iterator[Batch | None]:
        while True:
            try:
                found = self._ready.get(timeout=POLL_s)
            except Empty:
                yield None
                continue
            if found is None:
                return
            if isinstance(found, BaseException):
                raise found
            yield found

    def _read(self) -> None:
        try:
            try:
                self._write_batches()
            finally:  # here, since a database may be closed only by the thread that opened it
                self._rows.close()
                if isinstance(self._records, Generator):
                    self._records.close()
            self._ready.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where batches are taken
            self._ready.put(error)

    def _write_batches(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        discard_staged(self._folder)
        batches: list[Batch] = []
        with ThreadPoolExecutor(1) as writer:  # the batch is written while the next one is read
            under_way: Future[Batch] | None = None
            for number, rows in enumerate(self._rows):
                if under_way is not None:
                    batches.append(under_way.result())
                if self._stop.is_set():
                    return
                under_way = writer.submit(_write_batch, rows, self._folder / f"records-{number:06d}.parquet")
                under_way.add_done_callback(self._written)
            if under_way is not None:
                batches.append(under_way.result())
        if not self._stop.is_set():
            self._write_manifest(batches)

    def _written(self, batch: Future[Batch]) -> None:
        if batch.exception() is None:  # otherwise raised by the thread that waits for it
            self._ready.put(batch.result())

    def _write_manifest(self, batches: list[Batch]) -> None:
        manifest = {
            "format": FORMAT,
            "fingerprint": self._fingerprint,
            "excluded": asdict(self._excluded),
            "batches": [asdict(batch) for batch in batches],
        }
        write_text(self._folder / MANIFEST, json.dumps(manifest, indent=1))
        self.staged = Staged(self._folder, self._fingerprint, tuple(batches), self._excluded)


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
    records: Iterable[Record],
    batch_rows: int | None,
    batch_bytes: int,
    on_record: Callable[[Record], None] | None,
    stop: threading.Event,
) -> Generator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = before = 0
    for record in records:
        if stop.is_set():
            return
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
