"""A running run on the terminal: rates, time left, workers, refusals, memory and the last warnings, until it ends."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from datagen.config.job import WORK
from datagen.errors import StoreError
from datagen.progress import duration, one_line, reason_rows, size
from datagen.steps.monitor import Snapshot, read_snapshot
from datagen.store.lock import holder

OLD_s = 30.0
"""A snapshot older than this is shown with its age: the driver may be gone."""
PLAIN_EVERY_s = 30.0
REASONS_SHOWN = 8


def watch(dataset: Path, console: Console, *, every_s: float = 2.0, sleep: Callable[[float], None] = time.sleep) -> str:
    """Show the run until it ends, and return its last state; `gone` if its driver ended without saying so."""
    work = dataset / WORK
    if not work.is_dir():
        raise StoreError(f"{dataset}: no run makes this dataset; expected a folder {work}")
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                shot, state = look(work)
                live.update(panel(shot, state), refresh=True)
                if state != "running":
                    return state
                sleep(every_s)
    while True:
        shot, state = look(work)
        console.print(line(shot, state), markup=False, highlight=False, soft_wrap=True)
        if state != "running":
            return state
        sleep(max(every_s, PLAIN_EVERY_s))


def look(work: Path) -> tuple[Snapshot | None, str]:
    """Return the last snapshot and the state of the run."""
    shot = read_snapshot(work)
    driver = holder(work)
    if shot is None:
        return None, "running" if driver else "gone"
    if shot.state == "running" and driver is None:
        return shot, "gone"
    if shot.state != "running" and driver is not None:
        return shot, "running"  # begun again, before its first snapshot
    return shot, shot.state


def line(shot: Snapshot | None, state: str) -> str:
    """Return a run on one line."""
    if shot is None:
        return "waiting for the first figures" if state == "running" else "no run has written its progress here"
    if state == "finished":
        return one_line(f"{_state(shot, state)}, driver {size(shot.driver_memory_bytes)}")
    parts = [f"{shot.phase}: {_count(shot)}"]
    if state == "running":
        parts += [*_rate(shot), *_workers(shot)]
    parts += [f"driver {size(shot.driver_memory_bytes)}"]
    if shot.worker_memory_bytes:
        parts.append(f"largest worker {size(shot.worker_memory_bytes)}")
    if shot.n_quarantined:
        parts.append(f"{shot.n_quarantined:,} quarantined")
    return one_line(", ".join(parts) + f"; {_state(shot, state)}")


def panel(shot: Snapshot | None, state: str) -> Table:
    """Return a run as a table."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")

    def row(name: str, text: str) -> None:
        table.add_row(name, escape(one_line(text)))

    if shot is None:
        row("state", line(shot, state))
        return table
    if state != "finished":
        row(shot.phase, _count(shot))
    if rate := ", ".join(_rate(shot)):
        row("rate", rate)
    if workers := ", ".join(_workers(shot)):
        row("workers", workers)
    memory = f"driver {size(shot.driver_memory_bytes)}"
    row("memory", memory + (f", largest worker {size(shot.worker_memory_bytes)}" if shot.worker_memory_bytes else ""))
    if shot.n_bytes:
        row("committed", size(shot.n_bytes))
    if shot.verdicts:
        rows = reason_rows(shot.verdicts)
        for i, (reason, count, share) in enumerate(rows[:REASONS_SHOWN]):
            row("" if i else "curated", f"{count:,} {reason} ({share:.1%})")
        if len(rows) > REASONS_SHOWN:
            row("", f"{sum(count for _, count, _ in rows[REASONS_SHOWN:]):,} for other reasons")
    if shot.n_quarantined:
        row("quarantined", f"{shot.n_quarantined:,}")
    for when, level, text in shot.messages:
        row(level, f"{when[11:19]} {text}")
    row("state", _state(shot, state))
    return table


def _count(shot: Snapshot) -> str:
    if not shot.total:
        return f"{shot.done:,} {shot.unit}" if shot.unit else "not counted"
    return f"{shot.done:,} of {shot.total:,} {shot.unit} ({shot.done / shot.total:.0%})"


def _rate(shot: Snapshot) -> list[str]:
    parts = []
    if shot.rate_per_s:
        parts.append(f"{shot.rate_per_s:,.1f} {shot.unit}/s")
    if shot.patterns_per_s:
        parts.append(f"{shot.patterns_per_s:,.0f} patterns/s")
    if shot.remaining_s is not None:
        parts.append(f"about {duration(shot.remaining_s)} left")
    return parts


def _workers(shot: Snapshot) -> list[str]:
    if shot.workers is None:
        return []
    parts = [f"{shot.workers} workers", f"{shot.tasks_in_flight or 0} tasks under way"]
    if shot.waiting_for_workers_s and shot.workers == 0:
        parts.append(f"waiting {duration(shot.waiting_for_workers_s)} for workers")
    return parts


def _state(shot: Snapshot, state: str) -> str:
    where = f"process {shot.pid} on {shot.host}"
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(shot.time)
    old = f", {duration(age.total_seconds())} ago" if age.total_seconds() > OLD_s else ""
    if state == "gone":
        return f"the driver ({where}) is gone and did not record its end{old}; re-run the same command to resume"
    if state == "failed":
        return f"failed{old}: {shot.error}"
    if state == "interrupted":
        return f"interrupted{old}; re-run the same command to resume"
    return f"running ({where}){old}" if state == "running" else f"finished{old}"
