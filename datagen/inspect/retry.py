"""Release of quarantined structures whose reason no longer holds, such as too little memory."""

from __future__ import annotations

import difflib
from pathlib import Path

from datagen.config.job import WORK
from datagen.errors import StoreError
from datagen.steps.quarantine import Quarantine
from datagen.steps.reasons import SIMULATION_REASONS
from datagen.store import files
from datagen.store.lock import locked

QUARANTINING = (*sorted(SIMULATION_REASONS), "no_reflections")


def retry(dataset: Path, reason: str) -> int:
    """Release the structures quarantined for this reason and return their number; the next run simulates them."""
    work = dataset / WORK
    if not work.is_dir():
        raise StoreError(f"{dataset}: expected the folder {WORK} of a run, found none")
    if reason not in QUARANTINING:
        near = difflib.get_close_matches(reason, QUARANTINING, n=1)
        meant = f" (did you mean {near[0]}?);" if near else ";"
        raise StoreError(f"unknown reason {reason!r}{meant} expected one of {', '.join(QUARANTINING)}")
    with files.disk_errors_explained(dataset), locked(work):
        return Quarantine(work).release(reason)
