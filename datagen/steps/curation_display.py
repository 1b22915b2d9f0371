"""Curation's events on a display: records curated, of as many as have been read so far or in all."""

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
    """Show curation as a phase whose total is known when all is read; use as a context manager."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._phase = ExitStack()
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._n_read = 0
        self._all_read = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._phase.__exit__(kind, error, tb)

    def curating(self, total: int | None, finished: Counter[str]) -> None:
        """Begin; an earlier run `finished` some records, counted by reason; `total` is None while catalogs are read."""
        self._counts, self._all_read = Counter(finished), total is not None
        self._phase.enter_context(self._display.phase("curate", total, "records", done=self._counts.total()))

    def read(self, record: Record) -> None:
        """Count a record that was read."""
        del record
        with self._guard:
            self._n_read += 1
            self._display.advance(self._counts.total(), self._facts())

    def all_read(self, total: int) -> None:
        """Note how many records there are."""
        with self._guard:
            self._all_read = True
            self._display.expect(total)

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
        read = "" if self._all_read else f"{self._n_read:,} read so far, "
        return f"{read}{accepted:,} accepted, {done - accepted:,} refused, {self._display.rate():.1f}/s"
