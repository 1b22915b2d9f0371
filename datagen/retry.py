"""Try again what was set aside: for a reason that has gone away, such as too little memory or a mended engine."""

from __future__ import annotations

from pathlib import Path

from datagen import files
from datagen.errors import StoreError
from datagen.job import WORK
from datagen.lock import locked
from datagen.quarantine import Quarantine


def retry(dataset: Path, reason: str) -> int:
    """Release the structures set aside for this reason; how many. The next run plans and simulates them."""
    work = dataset / WORK
    if not work.is_dir():
        raise StoreError(f"{dataset}: expected the folder {WORK} of a run, found none; nothing can be tried again")
    with files.disk_errors_explained(dataset), locked(work):
        return Quarantine(work).release(reason)
