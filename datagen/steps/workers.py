"""The run's cluster, started when it is first needed: a finished dataset needs none."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from cluster.config import AllocationProfile, Profile
from cluster.connect import Cluster, connect
from cluster.submit import TaskProgress
from datagen.progress import Display, Figures

A = TypeVar("A")


class Workers:
    """A cluster that starts at first use; leaving the context manager ends it."""

    def __init__(self, profile: Profile, display: Display) -> None:
        self.kind = profile.kind
        self._profile = profile
        self._display = display
        self._stack = ExitStack()
        self._cluster: Cluster | None = None
        self.seconds_to_start = 0.0

    def cluster(self) -> Cluster:
        """Return the connected cluster."""
        if self._cluster is None:
            began = time.monotonic()
            self._cluster = self._stack.enter_context(connect(self._profile))
            self.seconds_to_start = time.monotonic() - began
            if self._cluster.dashboard_link:
                self._display.say(f"dashboard: {self._cluster.dashboard_link}")
        return self._cluster

    def prepare(self, function: Callable[[A], None], argument: A) -> None:
        """Call a function on the workers that exist, while the driver is busy."""
        if self._cluster is not None:
            self._cluster.prepare(function, argument)

    def close(self) -> None:
        """End the cluster if there is one."""
        self._stack.close()
        self._cluster = None

    def __enter__(self) -> Self:
        # In an allocation every process runs the same command, and connecting makes all but one of them workers:
        # that has to come before anything that only one of them may do.
        if isinstance(self._profile, AllocationProfile):
            self.cluster()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, tb)


def figures_of(tasks: TaskProgress) -> Figures:
    """Return the counts of workers and tasks as figures of a phase."""
    return Figures(
        workers=tasks.workers,
        tasks_in_flight=tasks.in_flight,
        waiting_for_workers_s=tasks.waiting_for_workers_s,
        worker_memory_bytes=tasks.worker_memory_bytes,
    )
