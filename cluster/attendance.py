"""Which jobs have workers, which lost theirs, and which ended before they had any."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from distributed import SchedulerPlugin

#: The queueing system is asked this often about jobs without a worker: soon after they are submitted, later seldom.
_SHORTEST_LOOK_S = 5.0
_LONGEST_LOOK_S = 60.0


class Attendance(SchedulerPlugin):  # type: ignore[misc, unused-ignore]
    """Jobs whose workers connected, and since when those are gone (monotonic clock, seconds)."""

    def __init__(self, workers_per_job: int) -> None:
        self._workers_per_job = workers_per_job
        self._names: dict[str, str] = {}
        self._connected: set[str] = set()
        self._news = False
        self.gone_since: dict[str, float] = {}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Note a worker of a job; called by the scheduler."""
        job = self._job(scheduler.workers[worker].name)
        self.gone_since.pop(job, None)
        self._names[worker] = job
        self._news = self._news or job not in self._connected
        self._connected.add(job)

    def remove_worker(self, scheduler: Any, worker: str, *, stimulus_id: str = "", **_: Any) -> None:
        """Note the end of a worker; called by the scheduler."""
        job = self._names.pop(worker, None)
        if job is not None and job not in self._names.values():
            # A worker at the end of its lifetime does not come back.
            leaves = stimulus_id.startswith("worker-close-gracefully")
            self.gone_since[job] = -math.inf if leaves else time.monotonic()

    def knows(self, job: str) -> bool:
        """Return whether a worker of this job has connected."""
        return job in self._connected

    def anybody(self) -> bool:
        """Return whether any worker is connected."""
        return bool(self._names)

    def take_news(self) -> bool:
        """Return whether a job's first worker has connected since the last call."""
        news, self._news = self._news, False
        return news

    def forget(self, job: str) -> None:
        """Expect a new job of this name."""
        self.gone_since.pop(job, None)
        self._connected.discard(job)

    def _job(self, worker_name: Any) -> str:
        # The workers of one job are called NAME-0, NAME-1, ...; a single one is called NAME.
        name = str(worker_name)
        return name.rpartition("-")[0] if self._workers_per_job > 1 else name


class StartWatch:
    """Jobs that the queueing system no longer has although no worker of them connected."""

    def __init__(self) -> None:
        self.failed_rounds = 0
        self._last_look = -math.inf
        self._missing: set[str] = set()

    def due(self, now: float, age_s: float) -> bool:
        """Return whether to ask again; `age_s` is the time since the last submission."""
        if now - self._last_look < min(max(age_s / 10, _SHORTEST_LOOK_S), _LONGEST_LOOK_S):
            return False
        self._last_look = now
        return True

    def find_ended(self, waiting: Mapping[str, str], alive: set[str] | None) -> dict[str, str]:
        """Return those of the waiting jobs, by name, that were missing at this look and the one before.

        Once is not enough: a job may be submitted before the queueing system lists it.
        """
        if alive is None:
            return {}
        missing = {name: job for name, job in waiting.items() if job not in alive}
        ended = {name: job for name, job in missing.items() if job in self._missing}
        self._missing = set(missing.values()) - set(ended.values())
        return ended

    def round_failed(self) -> None:
        """Count a round in which every job ended without a worker."""
        self.failed_rounds += 1

    def succeeded(self) -> None:
        """Start counting again: a worker has connected."""
        self.failed_rounds = 0
