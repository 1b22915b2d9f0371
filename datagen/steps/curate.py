"""Curation of catalogs into one table with a verdict on every input: stage, curate while more is read, join.

Every step leaves finished files or none, so that a killed command resumes when it is re-run. `datagen curate` uses a
local pool of sandboxes, `datagen run` the workers of a cluster.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from catalogs.atomic_write import sweep, write_text
from catalogs.open import open_catalogs
from catalogs.record import Record
from catalogs.selection import Excluded
from curation.batch import ACCEPTED, Receipt, read_receipt
from curation.labels import CRYSTAL_SYSTEMS
from curation.reasons import REASONS
from curation.sandbox import SandboxError
from curation.table import VERDICT_SCHEMA, concatenate, read_metadata
from datagen import __version__
from datagen.config.fingerprint import DECIDING_LIBRARIES, CurateJob, refuse_other_settings
from datagen.errors import DatagenError, PlanError
from datagen.steps.curate_locally import CurateBatches, CurationWork, Progress, curate_locally
from datagen.steps.staging import Batch, Staged, Staging, read_staged
from datagen.store.lock import Lock, locked

TABLE = "curation.parquet"
CRASHES = "curation-crashes.txt"
UNFINISHED = "curation.unfinished"
"""Folder of staged records and finished batches; deleted once the table is written."""
METADATA_KEY = "pxrd_datagen"
RESTART = "discard what is there with --restart"


@dataclass(frozen=True)
class Summary:
    """Counts and files of a finished curation."""

    table: Path
    n_records: int
    counts: Counter[str]
    """Rows accepted, and refused by reason."""
    n_resumed: int
    """Rows that an earlier run had finished."""
    seconds: float
    crashes: Path | None = None
    """Output of records that crashed or hung, if there were any."""
    excluded: Excluded = field(default_factory=Excluded)
    """Records that the catalogs' conditions left out; they have no row."""


def curate(
    job: CurateJob, out: Path, *, processes: int = 1, restart: bool = False, progress: Progress | None = None
) -> Summary:
    """Curate every record of the job's catalogs and write `out/curation.parquet`, or resume an interrupted run.

    The table is the same, timings aside, whatever the number of processes and interruptions. Raises PlanError if `out`
    was begun with other settings, unless `restart` discards it.
    """
    progress = progress or Progress()
    try:
        with locked(out) as lock:
            if restart:
                _discard(out)
            return curate_locked(job, out, partial(curate_locally, processes=processes), lock, progress)
    except SandboxError as error:
        raise DatagenError(f"curation cannot run on this machine: {error}") from error
    except OSError as error:
        if error.errno is None:
            raise
        raise DatagenError(
            f"{error.filename or out}: {error.strerror}; correct this and re-run the same command; "
            "finished batches are kept"
        ) from error


def curate_locked(
    job: CurateJob,
    out: Path,
    curate_batches: CurateBatches,
    lock: Lock,
    progress: Progress,
    choose: Callable[[Iterator[Record]], Iterator[Record]] = iter,
) -> Summary:
    """Curate as `curate` does, with the lock held and the given executor; `choose` picks the records."""
    began = time.monotonic()
    unfinished, table, fingerprint = out / UNFINISHED, out / TABLE, job.fingerprint()
    sweep(out)
    if table.exists():
        summary = _finished(table, fingerprint, began)
        shutil.rmtree(unfinished, ignore_errors=True)
        return summary
    key = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()

    def receipt_of(batch: Batch) -> Receipt | None:
        return read_receipt(unfinished / batch.verdicts, key=key, batch_sha256=batch.sha256)

    def curated(batches: Iterator[Batch | None]) -> Iterable[Receipt]:
        return curate_batches(CurationWork(job.settings, job.limits, unfinished, key, progress, lock), batches)

    staged = read_staged(unfinished)
    if staged is None:
        excluded = Excluded()
        records = choose(open_catalogs(job.catalogs, excluded))
        resumed: list[Receipt] = []
        progress.curating(None, Counter())
        with Staging(records, unfinished, fingerprint, on_record=progress.read, excluded=excluded) as staging:
            receipts = [*curated(_as_read(staging, receipt_of, resumed, progress))]
        assert staging.staged is not None, "an executor takes every batch"
        staged = staging.staged
    else:
        refuse_other_settings(staged.fingerprint, fingerprint, unfinished, RESTART)
        sweep(unfinished)
        found = {batch: receipt_of(batch) for batch in staged.batches}
        resumed = [receipt for receipt in found.values() if receipt is not None]
        progress.curating(staged.n_records, _total(resumed))
        receipts = [*curated(iter([batch for batch, receipt in found.items() if receipt is None]))]
    of_batch = {receipt.batch: receipt for receipt in (*receipts, *resumed)}
    done = [of_batch[batch.file] for batch in staged.batches if batch.file in of_batch]
    return _join(staged, done, table, began, sum(r.rows for r in resumed))


def _as_read(
    staging: Staging, receipt_of: Callable[[Batch], Receipt | None], resumed: list[Receipt], progress: Progress
) -> Iterator[Batch | None]:
    """Yield the batches without verdicts. A reading that broke off leaves verdicts, which count if it is the same."""
    for batch in staging:
        receipt = None if batch is None else receipt_of(batch)
        if receipt is None:
            yield batch
        else:
            resumed.append(receipt)
            progress.finished(receipt)
    if staging.staged is not None:
        progress.all_read(staging.staged.n_records)


def _total(receipts: list[Receipt]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for receipt in receipts:
        counts.update(receipt.counts)
    return counts


def _join(staged: Staged, receipts: list[Receipt], table: Path, began: float, n_resumed: int) -> Summary:
    """Join the batches' tables in input order, and remove them."""
    counts = _total(receipts)
    if [(r.batch, r.rows) for r in receipts] != [(b.file, b.rows) for b in staged.batches]:
        raise PlanError(
            f"{staged.folder}: {sum(counts.values())} verdicts for {staged.n_records} staged records; "
            "report this bug, and discard the folder with --restart"
        )
    about = {
        "format": 1,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "n_records": staged.n_records,
        "counts": dict(counts.most_common()),
        "excluded": asdict(staged.excluded),
        "fingerprint": staged.fingerprint,
        "versions": {"pxrd-datagen": __version__, "pyarrow": version("pyarrow"), **_libraries()},
        "crystal_systems": dict(enumerate(CRYSTAL_SYSTEMS, start=1)),
        "reasons": {code: REASONS[code].meaning for code in sorted(counts) if code != ACCEPTED},
    }
    crashes = _write_crashes(receipts, table.with_name(CRASHES))
    schema = VERDICT_SCHEMA.with_metadata({METADATA_KEY: json.dumps(about)})
    concatenate((staged.folder / batch.verdicts for batch in staged.batches), table, schema)
    shutil.rmtree(staged.folder)
    return Summary(table, staged.n_records, counts, n_resumed, time.monotonic() - began, crashes, staged.excluded)


def _finished(table: Path, fingerprint: dict[str, Any], began: float) -> Summary:
    """Return the summary of an existing table of the same job."""
    about = json.loads(read_metadata(table).get(METADATA_KEY, "{}"))
    if "fingerprint" not in about:
        raise PlanError(f"{table}: not a table that `datagen curate` wrote; choose another folder with --out")
    refuse_other_settings(about["fingerprint"], fingerprint, table, RESTART)
    crashes = table.with_name(CRASHES)
    n_records = about["n_records"]
    seconds = time.monotonic() - began
    found = crashes if crashes.exists() else None
    excluded = Excluded(**about.get("excluded", {}))
    return Summary(table, n_records, Counter(about["counts"]), n_records, seconds, found, excluded)


def _discard(out: Path) -> None:
    """Delete an earlier run, the table first, so that a half-deleted run never looks finished."""
    for name in (TABLE, CRASHES):
        (out / name).unlink(missing_ok=True)
    if (out / UNFINISHED).exists():
        shutil.rmtree(out / UNFINISHED)


def _write_crashes(receipts: list[Receipt], path: Path) -> Path | None:
    crashes = [crash for receipt in receipts for crash in receipt.crashes]
    if not crashes:
        path.unlink(missing_ok=True)
        return None
    texts = [f"{c['source_id']}: {c['reason']}\n{c['output'] or '(nothing was printed)'}\n" for c in crashes]
    write_text(path, "\n".join(texts))
    return path


def _libraries() -> dict[str, str]:
    return {name: version(name) for name in DECIDING_LIBRARIES}
