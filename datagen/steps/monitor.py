"""What a run is doing, as files: a snapshot for `datagen status --watch`, events as JSON lines, metrics for Prometheus.

The snapshot is always written, the other two if they are configured. They describe the run and are not part of the
dataset; a disk that refuses them costs them, not the run.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from curation.sandbox_meter import resident_bytes
from datagen.errors import StoreError, expected_errors, is_interrupt
from datagen.progress import Display, Figures, Observer
from datagen.steps.metrics import metrics_text
from datagen.store import files

SNAPSHOT = "progress.json"
EVENTS = "events.jsonl"
SNAPSHOT_EVERY_s = 2.0
EVENT_EVERY_s = 10.0
METRICS_EVERY_s = 15.0
RATE_OVER_s = 120.0
"""Rates are means over this time, so that they follow what happens now."""
MESSAGES_KEPT = 5
PROGRESS = (
    *("phase", "unit", "done", "total", "rate_per_s", "remaining_s", "workers", "tasks_in_flight"),
    *("waiting_for_workers_s", "worker_memory_bytes", "n_patterns", "n_bytes", "n_quarantined", "verdicts"),
)
"""Fields of the snapshot that an event `progress` repeats."""

log = logging.getLogger(__name__)


@dataclass
class Snapshot:
    """A run at one instant."""

    dataset: str
    host: str
    pid: int
    state: str = "running"
    """running, finished, failed or interrupted."""
    error: str | None = None
    began: str = ""
    """ISO 8601, UTC; so is `time`."""
    time: str = ""
    phase: str = "begin"
    unit: str = ""
    done: int = 0
    total: int | None = None
    phase_seconds: float = 0.0
    rate_per_s: float | None = None
    patterns_per_s: float | None = None
    remaining_s: float | None = None
    """Of this phase."""
    workers: int | None = None
    tasks_in_flight: int | None = None
    waiting_for_workers_s: float | None = None
    driver_memory_bytes: float = 0.0
    worker_memory_bytes: float | None = None
    n_patterns: int | None = None
    n_bytes: int | None = None
    n_quarantined: int | None = None
    verdicts: dict[str, int] = field(default_factory=dict)
    messages: list[tuple[str, str, str]] = field(default_factory=list)
    """Time, level and text of the last warnings and errors."""


class Monitor(Observer):
    """Write what a display shows to the files of a run."""

    def __init__(self, dataset: Path, work: Path, *, events: bool = False, metrics: Path | None = None) -> None:
        now = _utc()
        self.snapshot = Snapshot(dataset.name, platform.node(), os.getpid(), began=now, time=now)
        self._snapshot_file = work / SNAPSHOT
        self._events_file = work / EVENTS if events else None
        self._metrics_file = metrics
        self._written = dict.fromkeys(("snapshot", "progress", "metrics"), float("-inf"))
        self._phase_began = time.monotonic()
        self._history: deque[tuple[float, int, int | None]] = deque()
        self._failed: set[Path] = set()

    def phase_began(self, name: str, total: int | None, unit: str, done: int) -> None:
        """Begin a phase."""
        shot = self.snapshot
        shot.phase, shot.total, shot.unit, shot.done = name, total, unit, done
        shot.rate_per_s = shot.patterns_per_s = shot.remaining_s = None
        shot.workers = shot.tasks_in_flight = shot.waiting_for_workers_s = None
        self._phase_began = time.monotonic()
        self._history.clear()
        self._history.append((self._phase_began, done, None))
        self._event("phase_began", phase=name, total=total, unit=unit, done=done)
        self._write(now=True)

    def advanced(self, done: int, figures: Figures) -> None:
        """Note counts."""
        shot, now = self.snapshot, time.monotonic()
        shot.done, shot.phase_seconds = done, now - self._phase_began
        for name in (f.name for f in fields(figures)):
            if (value := getattr(figures, name)) is not None:
                setattr(shot, name, dict(value) if name == "verdicts" else value)
        self._rates(now)
        if now - self._written["progress"] >= EVENT_EVERY_s:
            self._written["progress"] = now
            self._event("progress", **{name: getattr(shot, name) for name in PROGRESS})
        self._write()

    def expected(self, total: int) -> None:
        """Note the total."""
        self.snapshot.total = total
        self._write(now=True)

    def phase_ended(self) -> None:
        """End a phase."""
        shot = self.snapshot
        shot.phase_seconds = time.monotonic() - self._phase_began
        shot.remaining_s = None
        self._event("phase_ended", phase=shot.phase, done=shot.done, seconds=round(shot.phase_seconds, 3))
        self._write(now=True)

    def said(self, text: str, level: int) -> None:
        """Keep warnings and errors."""
        name = logging.getLevelName(level).lower()
        if level >= logging.WARNING:
            self.snapshot.messages = [*self.snapshot.messages, (_utc(), name, text)][-MESSAGES_KEPT:]
        self._event("message", level=name, text=text)

    def ended(self, state: str, error: str | None = None) -> None:
        """Record how the run ended."""
        self.snapshot.state, self.snapshot.error = state, error
        self._event("run_ended", state=state, error=error)
        self._write(now=True)

    def _rates(self, now: float) -> None:
        shot, history = self.snapshot, self._history
        history.append((now, shot.done, shot.n_patterns))
        while len(history) > 2 and now - history[1][0] > RATE_OVER_s:
            history.popleft()
        then, done, patterns = history[0]
        seconds = now - then
        if seconds <= 0 or shot.done <= done:
            return
        shot.rate_per_s = (shot.done - done) / seconds
        if shot.n_patterns is not None:
            shot.patterns_per_s = (shot.n_patterns - (patterns or 0)) / seconds
        if shot.total is not None:
            shot.remaining_s = max(shot.total - shot.done, 0) / shot.rate_per_s

    def _write(self, *, now: bool = False) -> None:
        clock = time.monotonic()
        if now or clock - self._written["snapshot"] >= SNAPSHOT_EVERY_s:
            self._written["snapshot"] = clock
            self.snapshot.time, self.snapshot.driver_memory_bytes = _utc(), resident_bytes()
            self._try(self._snapshot_file, lambda p: files.write_bytes(p, files.to_json(asdict(self.snapshot))))
        if self._metrics_file and (now or clock - self._written["metrics"] >= METRICS_EVERY_s):
            self._written["metrics"] = clock
            text = metrics_text(asdict(self.snapshot), time.time())
            self._try(self._metrics_file, lambda p: files.write_bytes(p, text.encode()))

    def _event(self, event: str, **content: Any) -> None:
        if self._events_file is None:
            return
        line = json.dumps({"time": _utc(), "event": event, **content}, ensure_ascii=False)
        self._try(self._events_file, lambda p: _append(p, line + "\n"))

    def _try(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write a file; the first failure of each is logged, and the run continues."""
        try:
            write(path)
        except OSError as error:
            if path not in self._failed:
                self._failed.add(path)
                log.warning("cannot write %s: %s; the run continues", path, error)


@contextmanager
def monitored(
    display: Display, dataset: Path, work: Path, *, events: bool = False, metrics: Path | None = None
) -> Iterator[None]:
    """Write the files of a run while the block works, and how it ended."""
    monitor = Monitor(dataset, work, events=events, metrics=metrics)
    display.observers.append(monitor)
    try:
        yield
    except expected_errors() as error:
        monitor.ended("failed", str(error))
        raise
    except BaseException as error:
        if is_interrupt(error):
            monitor.ended("interrupted")
        else:
            monitor.ended("failed", f"unexpected {type(error).__name__}: {error}")
        raise
    else:
        monitor.ended("finished")
    finally:
        display.observers.remove(monitor)


def read_snapshot(work: Path) -> Snapshot | None:
    """Return the last snapshot of the run, None if there is none yet."""
    path = work / SNAPSHOT
    try:
        return TypeAdapter(Snapshot).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StoreError(
            f"{path}: expected the progress of a run, found something else; delete it ({error})"
        ) from error


def _append(path: Path, line: str) -> None:
    """Append, never through a symbolic link. Half a line after a crash is ended by the next one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _utc() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
