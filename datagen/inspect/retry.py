"""Try again what was set aside: for a reason that has gone away, such as too little memory or a mended engine."""

from __future__ import annotations

import difflib
from pathlib import Path

from datagen.config.job import WORK
from datagen.errors import StoreError
from datagen.steps.quarantine import Quarantine
from datagen.steps.reasons import SIMULATION_REASONS
from datagen.store import files
from datagen.store.lock import locked

SETTING_ASIDE = (*sorted(SIMULATION_REASONS), "no_reflections")


def retry(dataset: Path, reason: str) -> int:
    """Release the structures set aside for this reason; how many. The next run plans and simulates them."""
    work = dataset / WORK
    if not work.is_dir():
        raise StoreError(f"{dataset}: expected the folder {WORK} of a run, found none; nothing can be tried again")
    if reason not in SETTING_ASIDE:
        near = difflib.get_close_matches(reason, SETTING_ASIDE, n=1)
        meant = f" (did you mean {near[0]}?);" if near else ";"
        raise StoreError(
            f"no structure is ever set aside for {reason!r}{meant} it is one of {', '.join(SETTING_ASIDE)}"
        )
    with files.disk_errors_explained(dataset), locked(work):
        return Quarantine(work).release(reason)
