"""Progress of a run from its files alone, on any machine that sees them, during the run or after it died."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from curation.table import read_metadata
from datagen.config.job import WORK
from datagen.errors import StoreError
from datagen.steps.curate import TABLE, UNFINISHED
from datagen.steps.next_version import is_ready, next_version
from datagen.steps.quarantine import Quarantine
from datagen.steps.staging import read_staged
from datagen.store import ledger, reading
from datagen.store.damaged import damage_explained
from datagen.store.lock import holder


@dataclass
class Status:
    """Counts of everything that is on disk."""

    phase: str
    """read, curate, simulate, finish or complete."""
    driver: str | None = None
    """Who is at work, as far as the lock's file says."""
    n_records: int | None = None
    n_curated: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    n_shards: int | None = None
    n_committed: int = 0
    n_structures: int | None = None
    n_structures_committed: int = 0
    n_augmentations: int = 0
    n_densities: int = 0
    n_bytes: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    """Source id and reason of each."""
    mistakes: list[str] = field(default_factory=list)
    extension: str | None = None
    """State of an extension that was begun and not finished."""


def status_of(dataset: Path) -> Status:
    """Look at the files of a run; what cannot be read is listed, not raised."""
    work = dataset / WORK
    if not work.is_dir() and not (dataset / "zarr.json").exists():
        raise StoreError(f"{dataset}: neither a dataset nor a run that makes one; expected {work} or a zarr.json")
    status = Status("read", driver=holder(work) if work.is_dir() else None)
    with damage_explained(dataset, "the state of its run"):
        _look_at_curation(work, status)
        _look_at_store(dataset, status)
        if work.is_dir():
            status.set_aside = Quarantine(work).reasons()
            status.extension = _extension(dataset)
    return status


def _extension(dataset: Path) -> str | None:
    if is_ready(dataset):
        return "finished, being put in place"
    return "begun" if next_version(dataset).exists() else None


def _look_at_curation(work: Path, status: Status) -> None:
    table = work / TABLE
    if table.exists():
        about = json.loads(read_metadata(table)["pxrd_datagen"])
        status.n_records = status.n_curated = about["n_records"]
        status.verdicts.update(about["counts"])
        status.phase = "simulate"
        return
    unfinished = work / UNFINISHED
    if not unfinished.is_dir():
        return
    staged = read_staged(unfinished)
    status.phase, status.n_records = "curate", None if staged is None else staged.n_records
    # While the catalogs are read there is no list yet.
    names = [path.name for path in unfinished.glob("verdicts-*.parquet")] if staged is None else []
    for name in sorted(names) if staged is None else [batch.verdicts for batch in staged.batches]:
        path = unfinished / name
        try:
            counts = json.loads(read_metadata(path)["receipt"])["counts"]
        except FileNotFoundError:
            continue  # not curated yet, or the run has just joined the batches and removed them
        except (OSError, ValueError, KeyError) as damaged:
            status.mistakes.append(f"{path}: cannot be read ({damaged}); the run curates that batch again")
            continue
        status.verdicts.update(counts)
    status.n_curated = status.verdicts.total()


def _look_at_store(dataset: Path, status: Status) -> None:
    if not (dataset / "zarr.json").exists():
        return
    attributes, layout = reading.read_metadata(dataset)
    status.n_shards, status.n_structures = layout.n_shards, layout.n_structures
    status.n_augmentations = layout.n_augmentations
    try:
        receipts = ledger.committed(dataset)
    except StoreError as damaged:
        status.mistakes.append(str(damaged))
        return
    status.n_committed = len(receipts)
    status.n_structures_committed = sum(r.n_structures for r in receipts.values())
    status.n_densities = sum(r.n_densities for r in receipts.values())
    status.n_bytes = sum(r.size for r in receipts.values())
    if attributes.get("complete"):
        status.phase = "complete"
    else:
        status.phase = "finish" if status.n_committed == layout.n_shards else "simulate"
