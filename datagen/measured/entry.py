"""Entries of a collection: a scan and the statements about its sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from datagen.measured.truth import Truth
from trainer.scans.scan import Scan


@dataclass(frozen=True)
class Entry:
    """A scan file and the statements about its sample."""

    name: str
    read: Callable[[], Scan]
    """Raises ScanError, or FileNotFoundError where a table names a file that does not exist."""
    truth: Truth | None
