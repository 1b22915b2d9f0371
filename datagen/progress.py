"""What a person sees while a run goes on: one live line on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PLAIN_LINE_EVERY_s = 10.0


class Display:
    """Phases, one after the other, each with a count of things done and facts beside it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._done = 0
        self._total: int | None = None
        self._began = 0.0
        self._last_line = 0.0
        self._facts = ""

    def say(self, text: str) -> None:
        """One line of its own, above the bar."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A remark of passing interest: shown outside terminals only now and then."""
        if self.console.is_terminal or time.monotonic() - self._last_line > PLAIN_LINE_EVERY_s:
            self._last_line = time.monotonic()
            self.console.print(text, highlight=False, end="\r" if self.console.is_terminal else "\n")

    @contextmanager
    def phase(self, name: str, total: int | None, unit: str) -> Iterator[None]:
        """A stretch of work counted in `unit`; `total` may be unknown."""
        self._name, self._total, self._done, self._facts = name, total, 0, ""
        self._began = self._last_line = time.monotonic()
        if not self.console.is_terminal:
            self.say(f"{name} ..." if total is None else f"{name}: {total:,} {unit}")
            yield
            return
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as self._live:
            self._task = self._live.add_task(name, total=total, facts="")
            try:
                yield
            finally:
                self._live = self._task = None
        self.say(
            f"{name:<10} {self._done:,} {unit} in {duration(self.elapsed())}" if self._done else f"{name:<10} done"
        )

    def advance(self, done: int, facts: str = "") -> None:
        """So much is done now, in all; `facts` are rates and counts in words."""
        self._done, self._facts = done, facts
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, facts=facts)
        elif not self.console.is_terminal and time.monotonic() - self._last_line > PLAIN_LINE_EVERY_s:
            self._last_line = time.monotonic()
            share = f" of {self._total:,}" if self._total else ""
            self.say(f"  {self._name}: {done:,}{share}  {facts}{self._eta()}")

    def elapsed(self) -> float:
        """Seconds since this phase began."""
        return time.monotonic() - self._began

    def rate(self) -> float:
        """Things done per second in this phase."""
        return self._done / max(self.elapsed(), 1e-9)

    def _eta(self) -> str:
        if not self._total or not self._done:
            return ""
        return f"  about {duration((self._total - self._done) / self.rate())} left"


class Silence(Display):
    """No display, for tests and for use from other programs."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))


def duration(seconds: float) -> str:
    """Seconds in words: 8 s, 3 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(n_bytes: float) -> str:
    """Bytes in words, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def reason_rows(counts: dict[str, int]) -> list[tuple[str, int, float]]:
    """Reasons by count, largest first, with their share of all records."""
    total = sum(counts.values()) or 1
    return [(name, n, n / total) for name, n in sorted(counts.items(), key=lambda item: -item[1])]
