"""Curation's events on a display: records read, then records curated."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from catalogs.record import Record
from curation.batch import ACCEPTED, Receipt
from datagen.progress import Display, Figures
from datagen.steps.curate_locally import Progress


class CurationDisplay(Progress):
    """Show reading and curation as two phases; use as a context manager."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._phase = ExitStack()
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._n_read = self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._phase.__exit__(kind, error, tb)

    def reading(self) -> None:
        """Begin to show records as they are read."""
        self._phase.enter_context(self._display.phase("read", None, "records"))

    def read(self, record: Record) -> None:
        """Count a record."""
        del record
        self._n_read += 1
        self._display.advance(self._n_read)

    def curating(self, total: int, finished: Counter[str]) -> None:
        """End reading; an earlier run `finished` some of `total` records, counted by reason."""
        self._phase.close()
        self._total, self._counts = total, Counter(finished)

    def started(self) -> None:
        """Begin to show verdicts."""
        self._phase.enter_context(self._display.phase("curate", self._total, "records", done=self._counts.total()))

    def working(self, figures: Figures) -> None:
        """Show how many workers there are."""
        self._display.advance(self._counts.total(), self._facts(), figures)

    def curated(self, row: dict[str, Any]) -> None:
        """Count a verdict."""
        self._add({row["reason"] or ACCEPTED: 1})

    def finished(self, receipt: Receipt) -> None:
        """Count the verdicts of a batch."""
        self._add(receipt.counts)

    def _add(self, counts: Mapping[str, int]) -> None:
        with self._guard:
            self._counts.update(counts)
            self._display.advance(self._counts.total(), self._facts(), Figures(verdicts=dict(self._counts)))

    def _facts(self) -> str:
        done, accepted = self._counts.total(), self._counts[ACCEPTED]
        return f"{accepted:,} accepted, {done - accepted:,} refused, {self._display.rate():.1f}/s"
