"""Many small tasks on workers that may die at any moment: none is lost, and a task that kills workers is named.

A bounded number of tasks is in flight. Each returns a small receipt. A task whose worker dies is tried again; after
three deaths it is reported to the caller, who probes it.
"""

# mypy: allow-untyped-calls
# (distributed is only partly annotated)
from __future__ import annotations

import logging
import queue
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from distributed import Future, KilledWorker

from cluster import dask_private
from cluster.config import InlineProfile
from cluster.connect import Cluster
from cluster.errors import ClusterError
from cluster.graceful_exit import closed_gracefully
from cluster.task import Failure, TaskResult, perform

log = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")

#: Tasks in flight per worker: one runs, the others wait at the scheduler, so that no worker waits for the driver.
IN_FLIGHT_PER_WORKER = 4
RECEIPT_LIMIT_BYTES = 65_536
LONGEST_TAKING_S = 0.5
GATHER_TIMEOUT_S = 30


@dataclass(frozen=True)
class Task(Generic[A]):
    """One call: `argument` is small and picklable, `key` is unique within the run."""

    key: str
    argument: A


@dataclass(frozen=True)
class TaskProgress:
    """Counts of tasks and workers."""

    submitted: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    in_flight: int = 0
    workers: int = 0
    worker_deaths: int = 0
    waiting_for_workers_s: float = 0.0
    worker_memory_bytes: float = 0.0
    """Of the worker that takes most, as it last reported."""


OnReceipt = Callable[[Task[A], R], None]
OnFailure = Callable[[Task[A], Failure], None]


def run_tasks(
    cluster: Cluster,
    function: Callable[[A], R],
    tasks: Iterable[Task[A] | None],
    *,
    on_receipt: OnReceipt[A, R],
    on_failure: OnFailure[A],
    heartbeat: Callable[[TaskProgress], None] | None = None,
    heartbeat_s: float = 1.0,
    retries: int = 1,
    max_deaths: int = 3,
    receipt_limit_bytes: int = RECEIPT_LIMIT_BYTES,
) -> TaskProgress:
    """Run every task once, in any order, and return the final counts.

    `tasks` may be made while they are taken: None says that the next is not there yet, and should come within a second.
    `on_receipt(task, receipt)` is called in this thread for each finished task, `on_failure(task, failure)` for one
    that raised `retries + 1` times or whose worker died `max_deaths` times. A worker that leaves gracefully, for its
    walltime, does not count as a death; its task runs again on another worker, possibly while the first attempt still
    runs, so `function` must tolerate that. Any exception here, Ctrl-C included, cancels what is in flight after the
    receipts that have arrived are delivered.
    """
    run = _TaskRun(cluster, function, on_receipt, on_failure, retries, max_deaths, receipt_limit_bytes, heartbeat)
    if cluster.client is None:
        return run.run_inline(tasks)
    return run.run_on_workers(tasks, heartbeat_s)


def run_tasks_inline(function: Callable[[A], R], tasks: Iterable[Task[A] | None], **options: Any) -> TaskProgress:
    """Do the same as `run_tasks` in this process, one task after the other, for debuggers."""
    return run_tasks(Cluster(InlineProfile(kind="inline")), function, tasks, **options)


@dataclass
class _Attempt(Generic[A]):
    """A task and its retry history."""

    task: Task[A]
    number: int = 0
    raised: int = 0
    deaths: int = 0
    is_alone: bool = False
    """Nothing else is in flight with it, so that the death of its worker is its own doing."""


@dataclass
class _TaskRun(Generic[A, R]):
    """State of one call of `run_tasks`."""

    cluster: Cluster
    function: Callable[[A], R]
    on_receipt: OnReceipt[A, R]
    on_failure: OnFailure[A]
    retries: int
    max_deaths: int
    receipt_limit_bytes: int
    heartbeat: Callable[[TaskProgress], None] | None
    progress: TaskProgress = field(default_factory=TaskProgress)
    # Taken before new tasks, so that culprits are found early.
    retry: deque[_Attempt[A]] = field(default_factory=deque)
    # Died too often, but perhaps only beside another task: run each alone before it is reported.
    suspects: deque[_Attempt[A]] = field(default_factory=deque)
    in_flight: dict[Future[Any], _Attempt[A]] = field(default_factory=dict)
    taken: bool = False
    """Whether all tasks were taken from their source."""
    finished: queue.SimpleQueue[Future[Any]] = field(default_factory=queue.SimpleQueue)
    # Keys of an earlier call may be the same; the scheduler must not confuse them.
    group: str = field(default_factory=lambda: f"task-{uuid.uuid4().hex}")

    def run_inline(self, tasks: Iterable[Task[A] | None]) -> TaskProgress:
        source = iter(tasks)
        self._count(workers=1)
        while not self._is_done:
            attempt = self._next(source)
            if attempt is None:
                continue
            attempt.number += 1
            self._count(submitted=1)
            self._deliver(attempt, perform(self.function, attempt.task.argument, self.receipt_limit_bytes))
            self._beat()
        return self.progress

    def run_on_workers(self, tasks: Iterable[Task[A] | None], heartbeat_s: float) -> TaskProgress:
        source = iter(tasks)
        watch = _WorkerWatch(self.cluster, heartbeat_s)
        try:
            self.progress = replace(self.progress, workers=watch.workers)
            while True:
                self._submit(source, watch.workers)
                if self.in_flight:
                    self._collect(timeout_s=heartbeat_s)
                elif self._is_done:
                    break
                if watch.due():
                    workers, waiting_s, memory = watch.look()
                    self.progress = replace(
                        self.progress, workers=workers, waiting_for_workers_s=waiting_s, worker_memory_bytes=memory
                    )
                    self._beat()
        except BaseException:
            self._deliver_finished()
            raise
        finally:
            self._cancel_all()
        self._beat()
        return self.progress

    @property
    def _is_done(self) -> bool:
        return self.taken and not (self.retry or self.suspects or self.in_flight)

    def _next(self, source: Iterator[Task[A] | None]) -> _Attempt[A] | None:
        """Return what to run next; None if nothing is at hand."""
        if self.retry:
            return self.retry.popleft()
        for task in source:
            return None if task is None else _Attempt(task)
        self.taken = True
        return None

    def _submit(self, source: Iterator[Task[A] | None], workers: int) -> None:
        if any(attempt.is_alone for attempt in self.in_flight.values()):
            return
        if self.suspects:
            if not self.in_flight:
                suspect = self.suspects.popleft()
                suspect.is_alone = True
                self._send([suspect])
            return
        limit = IN_FLIGHT_PER_WORKER * max(workers, 1)
        if self.in_flight and limit - len(self.in_flight) < limit // 4:
            return  # Submitting in batches is cheaper, and enough tasks wait at the scheduler.
        batch: list[_Attempt[A]] = []
        began = time.monotonic()  # tasks may be made while they are taken, and those at hand should not wait for others
        while len(self.in_flight) + len(batch) < limit and (attempt := self._next(source)):
            attempt.is_alone = False
            batch.append(attempt)
            if time.monotonic() - began > LONGEST_TAKING_S:
                break
        # Dask queues tasks at the scheduler, and so runs one per worker, only when their group outnumbers the workers
        # twofold (distributed: Scheduler.is_rootish). Of a smaller group no more than one per worker is submitted.
        if self.progress.submitted + len(batch) <= 2 * workers:
            free = max(workers - len(self.in_flight), 0)
            self.retry.extendleft(reversed(batch[free:]))
            batch = batch[:free]
        if batch:
            self._send(batch)

    def _send(self, batch: list[_Attempt[A]]) -> None:
        for attempt in batch:
            attempt.number += 1
        futures = self.cluster.client.map(
            perform,
            [self.function] * len(batch),
            [attempt.task.argument for attempt in batch],
            [self.receipt_limit_bytes] * len(batch),
            key=[(self.group, attempt.task.key, attempt.number) for attempt in batch],
            pure=False,
        )
        for future, attempt in zip(futures, batch, strict=True):
            self.in_flight[future] = attempt
            future.add_done_callback(self.finished.put)
        self._count(submitted=len(batch))

    def _collect(self, timeout_s: float) -> None:
        """Wait until a task finishes, then handle all that have."""
        try:
            ready = [self.finished.get(timeout=timeout_s)]
        except queue.Empty:
            return
        while not self.finished.empty():
            ready.append(self.finished.get())
        killed: dict[str, list[Future[Any]]] = defaultdict(list)
        good: list[Future[Any]] = []
        for future in ready:
            if future not in self.in_flight:
                continue
            if future.status == "finished":
                good.append(future)
            elif future.status == "error" and isinstance(future.exception(), KilledWorker):
                killed[future.exception().last_worker.address].append(future)
            elif future.status == "error":
                self._deliver(self._take(future), Failure.from_exception(future.exception()))
            elif future.cancelled():
                raise ClusterError(self.cluster.lost_message())
            else:
                # Its worker died before the receipt was fetched; the scheduler runs the task again.
                future.add_done_callback(self.finished.put)
        for address, futures in killed.items():
            self._count_deaths(address, futures)
        for future, result in self._gather(good):
            self._deliver(self._take(future), result)

    def _gather(self, futures: list[Future[Any]]) -> Iterator[tuple[Future[Any], TaskResult]]:
        if not futures:
            return
        try:
            results = dask_private.gather(self.cluster.client, futures, GATHER_TIMEOUT_S)
        except CancelledError as error:
            raise ClusterError(self.cluster.lost_message()) from error
        except (KilledWorker, TimeoutError):
            # A receipt was lost with its worker: fetch each separately, when it is there (again).
            for future in futures:
                future.add_done_callback(self.finished.put)
            return
        yield from zip(futures, results, strict=True)

    def _take(self, future: Future[Any]) -> _Attempt[A]:
        attempt = self.in_flight.pop(future)
        future.release()
        self._count()
        return attempt

    def _count_deaths(self, address: str, futures: list[Future[Any]]) -> None:
        """Retry the tasks of a worker that died or left, and report those with too many deaths."""
        if closed_gracefully(self.cluster.client, address):
            log.info("worker %s left; its tasks run on others", address)
            for future in futures:
                self._count(retried=1)
                self.retry.append(self._take(future))
            return
        self._count(worker_deaths=1)
        for future in futures:
            # A scheduler with other settings may have retried before it reported.
            deaths = future.exception().allowed_failures + 1
            attempt = self._take(future)
            attempt.deaths += deaths
            log.warning("worker %s died while running task %s", address, attempt.task.key)
            if attempt.deaths < self.max_deaths:
                self._count(retried=1)
                self.retry.append(attempt)
            elif (deaths > 1 or len(futures) > 1) and not attempt.is_alone:
                # A worker may get the next task while one runs: another scheduler than ours gives it, or ours while
                # it counts a worker that has just gone.
                self._count(retried=1)
                self.suspects.append(attempt)
            else:
                self._report(attempt, Failure.from_deaths(attempt.deaths, address))

    def _deliver(self, attempt: _Attempt[A], result: TaskResult | Failure) -> None:
        if isinstance(result, Failure):
            attempt.raised += 1
            if attempt.raised <= self.retries and result.worth_retrying:
                self._count(retried=1)
                self.retry.append(attempt)
            else:
                self._report(attempt, replace(result, attempts=attempt.number))
        else:
            self._count(done=1)
            self.on_receipt(attempt.task, result.receipt)

    def _report(self, attempt: _Attempt[A], failure: Failure) -> None:
        self._count(failed=1)
        self.on_failure(attempt.task, failure)

    def _deliver_finished(self) -> None:
        """Deliver the receipts that have arrived while an exception ends the run."""
        good = [future for future in self.in_flight if future.status == "finished"]
        try:
            for future, result in self._gather(good):
                if isinstance(result, TaskResult):
                    self._deliver(self._take(future), result)
        except Exception:
            log.warning("some receipts could not be fetched while stopping", exc_info=True)

    def _cancel_all(self) -> None:
        if not self.in_flight:
            return
        try:
            self.cluster.client.cancel(list(self.in_flight), force=True)
        except Exception:
            log.warning("tasks in flight could not be cancelled", exc_info=True)
        self.in_flight.clear()
        self._count()

    def _count(self, **increments: int) -> None:
        counted = Counter({name: getattr(self.progress, name) for name in increments})
        counted.update(increments)
        self.progress = replace(self.progress, **counted, in_flight=len(self.in_flight))

    def _beat(self) -> None:
        if self.heartbeat is not None:
            self.heartbeat(self.progress)


class _WorkerWatch:
    """Periodic count of the workers and their memory, and the time since there was one."""

    memory_every_s = 10.0

    def __init__(self, cluster: Cluster, every_s: float) -> None:
        self._cluster = cluster
        self._every_s = every_s
        self._last_look = time.monotonic()
        self._last_seen = time.monotonic()
        self._last_memory = float("-inf")
        self._memory_bytes = 0.0
        self.workers = cluster.worker_count()

    def due(self) -> bool:
        return time.monotonic() - self._last_look >= self._every_s

    def look(self) -> tuple[int, float, float]:
        """Return the number of workers, the seconds since one was last seen, and the largest memory of one."""
        self._cluster.tend()
        self.workers = self._cluster.worker_count()
        now = time.monotonic()
        self._last_look = now
        if self.workers:
            self._last_seen = now
        waiting_s = now - self._last_seen
        if waiting_s > self._cluster.profile.worker_wait_s:
            raise ClusterError(self._cluster.no_workers_message(waiting_s))
        if now - self._last_memory >= self.memory_every_s:
            self._last_memory, self._memory_bytes = now, self._cluster.worker_memory_bytes()
        return self.workers, waiting_s, self._memory_bytes
