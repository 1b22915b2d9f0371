"""Progress on the terminal and in the log: a live bar where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

PLAIN_LINE_EVERY_s = 10.0

log = logging.getLogger(__name__)


class Verbosity(IntEnum):
    """How much a display prints; the log is the same for all."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


@dataclass(frozen=True)
class Figures:
    """Numbers of a run beside the count of its phase; None where the phase does not know them."""

    workers: int | None = None
    tasks_in_flight: int | None = None
    waiting_for_workers_s: float | None = None
    worker_memory_bytes: float | None = None
    """Of the worker that takes most."""
    n_patterns: int | None = None
    """Made by this call."""
    n_bytes: int | None = None
    """Of the committed shards."""
    n_quarantined: int | None = None
    verdicts: Mapping[str, int] | None = None
    """Records accepted, and refused by reason."""


NO_FIGURES = Figures()


class Observer:
    """Receives what a display shows; this class ignores it."""

    def phase_began(self, name: str, total: int | None, unit: str, done: int) -> None:
        """Called when a phase begins; an earlier run finished `done` of its units."""

    def advanced(self, done: int, figures: Figures) -> None:
        """Called when the count of the phase changed."""

    def expected(self, total: int) -> None:
        """Called when the total of a phase that began without one is known."""

    def phase_ended(self) -> None:
        """Called when the phase is over, also by an error."""

    def said(self, text: str, level: int) -> None:
        """Called with each line of text and its level of logging."""


class Display:
    """Named phases, one after the other, each with a count and a short summary beside it.

    Everything shown is also logged as `datagen.progress`, so that a run's log file tells the same story.
    """

    verbosity = Verbosity.NORMAL
    """Default of new displays; the command line sets it once."""

    def __init__(self, console: Console | None = None, verbosity: Verbosity | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.observers: list[Observer] = []
        self._quiet = (self.verbosity if verbosity is None else verbosity) is Verbosity.QUIET
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._name = self._unit = ""
        self._done = self._before = 0
        self._total: int | None = None
        self._began = self._last_line = 0.0

    def say(self, text: str) -> None:
        """Print one line of rich markup above the bar."""
        self._print(text, logging.INFO)

    def warn(self, text: str) -> None:
        """Print one line of rich markup as a warning."""
        self._print(f"[yellow]warning:[/] {text}", logging.WARNING)

    @contextmanager
    def phase(self, name: str, total: int | None, unit: str, done: int = 0) -> Iterator[None]:
        """Show a phase of the work, counted in `unit`; of `total`, `done` were finished by an earlier run."""
        self._name, self._total, self._unit = name, total, unit
        self._done = self._before = done
        self._began = self._last_line = time.monotonic()
        headline = f"{name} ..." if total is None else f"{name}: {total:,} {unit}"
        if done:
            headline += f", {done:,} of them finished before"
        log.info("%s", headline)
        for observer in self.observers:
            observer.phase_began(name, total, unit, done)
        try:
            with self._shown(headline):
                yield
        finally:
            for observer in self.observers:
                observer.phase_ended()
        log.info("%s", self._summary())

    @contextmanager
    def _shown(self, headline: str) -> Iterator[None]:
        if self._quiet:
            yield
        elif not self.console.is_terminal:
            self._show(headline)
            yield
        else:
            with Progress(*_columns(self._unit), console=self.console, transient=True) as self._live:
                self._task = self._live.add_task(self._name, total=self._total, completed=self._done, facts="")
                try:
                    yield
                finally:
                    self._live = self._task = None
            self._show(self._summary())

    def advance(self, done: int, facts: str = "", figures: Figures = NO_FIGURES) -> None:
        """Set how many units are done in all; `facts` are rates and counts in words, `figures` for observers."""
        self._done = done
        for observer in self.observers:
            observer.advanced(done, figures)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, facts=facts)
        elif time.monotonic() - self._last_line > PLAIN_LINE_EVERY_s:
            self._last_line = time.monotonic()
            share = f" of {self._total:,}" if self._total else f" {self._unit}"
            line = f"  {self._name}: {done:,}{share}  {facts}{self._remaining()}"
            log.info("%s", line.strip())
            if not self._quiet and not self.console.is_terminal:
                self._show(line)

    def expect(self, total: int) -> None:
        """Set the total of a phase that began without one."""
        self._total = total
        for observer in self.observers:
            observer.expected(total)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, total=total)

    def elapsed(self) -> float:
        """Return the seconds since this phase began."""
        return time.monotonic() - self._began

    def rate(self) -> float:
        """Return the units done per second in this phase, earlier runs not counted."""
        return (self._done - self._before) / max(self.elapsed(), 1e-9)

    def _summary(self) -> str:
        return (
            f"{self._name:<10} {self._done:,} {self._unit} in {duration(self.elapsed())}"
            if self._done
            else f"{self._name:<10} done"
        )

    def _remaining(self) -> str:
        if not self._total or self._done <= self._before:
            return ""
        return f"  about {duration((self._total - self._done) / self.rate())} left"

    def _print(self, markup: str, level: int) -> None:
        plain = Text.from_markup(markup).plain
        log.log(level, "%s", plain)
        for observer in self.observers:
            observer.said(plain, level)
        if not self._quiet:
            self._show(markup)

    def _show(self, markup: str) -> None:
        self.console.print(printable(markup), highlight=False, soft_wrap=True)


class Silence(Display):
    """A display that prints nothing, for tests and for use from other programs."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))


def _columns(unit: str) -> tuple[ProgressColumn, ...]:
    return (
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[facts]}", markup=False),
        TimeRemainingColumn(),
    )


def printable(text: str) -> str:
    """Return text from a file or dataset without control characters, which could act on the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: object, limit: int | None = None) -> str:
    """Return text from a file or dataset on one line of at most `limit` characters, without control characters."""
    return printable(str(text)).replace("\n", "\\n")[:limit]


def duration(seconds: float) -> str:
    """Return seconds in words: 8 s, 3 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(n_bytes: float) -> str:
    """Return a number of bytes in words, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def reason_rows(counts: dict[str, int]) -> list[tuple[str, int, float]]:
    """Return reasons by count, largest first, with their share of all records."""
    total = sum(counts.values()) or 1
    return [(name, n, n / total) for name, n in sorted(counts.items(), key=lambda item: -item[1])]
