"""What a person sees while curation runs: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from catalogs.record import Record
from curation.batch import ACCEPTED
from datagen.steps.curate_here import Progress

LINE_EVERY_s = 10.0


class ShownProgress(Progress):
    """Counts what happens and shows it; a context manager, so that the bar is gone before anything else is printed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()
        self._last_line_s = time.monotonic()
        self._began_s = time.monotonic()
        self._n_read = self._total = self._n_before = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Bar(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[counts]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def reading(self) -> None:
        """Show that it has begun."""
        if self._bar is not None:
            self._task = self._bar.add_task("reading", total=None, counts="")
        else:
            self._say("reading the catalogs")

    def read(self, record: Record) -> None:
        """Show how many were read."""
        self._n_read += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._n_read)
        elif self._line_is_due():
            self._say(f"read {self._n_read} records")

    def judging(self, total: int, finished: Counter[str]) -> None:
        """Show what is left to do."""
        self._total, self._counts, self._n_before = total, Counter(finished), sum(finished.values())
        self._began_s = time.monotonic()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("judging", total=total, completed=self._n_before, counts=self._tally())
        else:
            before = f", {self._n_before} of them finished before" if self._n_before else ""
            self._say(f"judging {total} records{before}")

    def judged(self, row: dict[str, Any]) -> None:
        """Show how many were accepted and refused."""
        with self._guard:
            self._counts[row["reason"] or ACCEPTED] += 1
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, advance=1, counts=self._tally())
            elif self._line_is_due():
                self._say(f"judged {sum(self._counts.values())} of {self._total}: {self._tally()}")

    def _tally(self) -> str:
        done, accepted = sum(self._counts.values()), self._counts[ACCEPTED]
        rate = (done - self._n_before) / max(time.monotonic() - self._began_s, 1e-3)
        return f"{accepted} accepted, {done - accepted} refused, {rate:.1f}/s"

    def _line_is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._last_line_s >= LINE_EVERY_s
        if due:
            self._last_line_s = now
        return due

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
