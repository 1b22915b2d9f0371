"""How do many small tasks get done by workers that may die at any moment, with none lost and every culprit named?

A bounded number of tasks is in flight. Each returns a small receipt. A task whose worker dies is tried again; one that
was alone on three dying workers is given back to the caller, who may split it and learn which part did it.
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

from cluster.config import HereProfile
from cluster.connect import Cluster
from cluster.errors import ClusterError
from cluster.graceful_exit import left_in_order
from cluster.task import Failure, Outcome, perform

log = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")

#: Tasks in flight per worker: one runs, the rest wait at the scheduler, so that no worker idles for want of the driver.
WINDOW_PER_WORKER = 4
#: Deaths of workers that a task shared with others before it is blamed with them: then something is wrong with it too.
SHARED_DEATHS = 10
RECEIPT_LIMIT_BYTES = 65_536
GATHER_TIMEOUT_S = 30


@dataclass(frozen=True)
class Task(Generic[A]):
    """One call: `argument` is small and picklable, `key` tells the task from all others of the run."""

    key: str
    argument: A


@dataclass(frozen=True)
class Progress:
    """Where the work stands."""

    submitted: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    in_flight: int = 0
    workers: int = 0
    worker_deaths: int = 0
    waiting_for_workers_s: float = 0.0


OnReceipt = Callable[[Task[A], R], None]
OnFailure = Callable[[Task[A], Failure], Iterable[Task[A]] | None]


def run_tasks(
    cluster: Cluster,
    function: Callable[[A], R],
    tasks: Iterable[Task[A]],
    *,
    on_receipt: OnReceipt[A, R],
    on_failure: OnFailure[A],
    heartbeat: Callable[[Progress], None] | None = None,
    heartbeat_s: float = 1.0,
    window: int | None = None,
    retries: int = 1,
    max_deaths: int = 3,
    receipt_limit_bytes: int = RECEIPT_LIMIT_BYTES,
) -> Progress:
    """Do every task once, in any order, and return the final tally.

    `on_receipt(task, receipt)` is called in this thread for each task done. `on_failure(task, failure)` is called for
    one that raised `retries + 1` times, or whose worker died `max_deaths` times while running it and nothing else; the
    tasks it returns (its halves, say) are done next. A worker that leaves in order, for its walltime, blames nobody;
    its task is done again elsewhere, perhaps while the first attempt still runs: `function` must bear that. Whatever
    raises here, an interrupt too, cancels what is in flight after handing over the receipts already there.
    """
    run = _Run(cluster, function, on_receipt, on_failure, retries, max_deaths, receipt_limit_bytes, heartbeat)
    if cluster.client is None:
        return run.here(tasks)
    return run.there(tasks, window, heartbeat_s)


def run_tasks_here(function: Callable[[A], R], tasks: Iterable[Task[A]], **options: Any) -> Progress:
    """The same as `run_tasks` in this process, one task after the other, where a debugger can follow."""
    return run_tasks(Cluster(HereProfile(kind="here")), function, tasks, **options)


@dataclass
class _Attempt(Generic[A]):
    """A task and what has befallen it."""

    task: Task[A]
    number: int = 0
    raised: int = 0
    deaths_alone: int = 0
    deaths_shared: int = 0


@dataclass
class _Run(Generic[A, R]):
    """The state of one call of `run_tasks`."""

    cluster: Cluster
    function: Callable[[A], R]
    on_receipt: OnReceipt[A, R]
    on_failure: OnFailure[A]
    retries: int
    max_deaths: int
    receipt_limit_bytes: int
    heartbeat: Callable[[Progress], None] | None
    progress: Progress = field(default_factory=Progress)
    # First what came back, then what the caller's iterator still holds: culprits are found early.
    again: deque[_Attempt[A]] = field(default_factory=deque)
    in_flight: dict[Future[Any], _Attempt[A]] = field(default_factory=dict)
    finished: queue.SimpleQueue[Future[Any]] = field(default_factory=queue.SimpleQueue)
    # Tasks of an earlier call may bear the same keys; the scheduler must not take one for the other.
    group: str = field(default_factory=lambda: f"task-{uuid.uuid4().hex}")

    def here(self, tasks: Iterable[Task[A]]) -> Progress:
        source = iter(tasks)
        self._count(workers=1)
        while attempt := self._next(source):
            attempt.number += 1
            self._count(submitted=1)
            self._judge(attempt, perform(self.function, attempt.task.argument, self.receipt_limit_bytes))
            self._beat()
        return self.progress

    def there(self, tasks: Iterable[Task[A]], window: int | None, heartbeat_s: float) -> Progress:
        source = iter(tasks)
        watch = _Watch(self.cluster, heartbeat_s)
        try:
            self.progress = replace(self.progress, workers=watch.workers)
            while True:
                self._fill(source, window, watch.workers)
                if not self.in_flight:
                    break
                self._collect(timeout_s=heartbeat_s)
                if watch.due():
                    workers, waiting_s = watch.look()
                    self.progress = replace(self.progress, workers=workers, waiting_for_workers_s=waiting_s)
                    self._beat()
        except BaseException:
            self._hand_over_finished()
            raise
        finally:
            self._cancel_all()
        self._beat()
        return self.progress

    def _next(self, source: Iterator[Task[A]]) -> _Attempt[A] | None:
        if self.again:
            return self.again.popleft()
        task = next(source, None)
        return None if task is None else _Attempt(task)

    def _fill(self, source: Iterator[Task[A]], window: int | None, workers: int) -> None:
        limit = window or WINDOW_PER_WORKER * max(workers, 1)
        if self.in_flight and limit - len(self.in_flight) < limit // 4:
            return  # Submitting is cheaper by the batch, and what waits at the scheduler suffices meanwhile.
        batch: list[_Attempt[A]] = []
        while len(self.in_flight) + len(batch) < limit and (attempt := self._next(source)):
            batch.append(attempt)
        # Dask keeps tasks at the scheduler, and so one per worker, only when their group outnumbers the workers twofold
        # (distributed: Scheduler.is_rootish). A smaller group is handed out one per worker by not offering more.
        if self.progress.submitted + len(batch) <= 2 * workers:
            room = max(workers - len(self.in_flight), 0)
            self.again.extendleft(reversed(batch[room:]))
            batch = batch[:room]
        if not batch:
            return
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
        """Wait for something to finish and deal with all that has."""
        try:
            ready = [self.finished.get(timeout=timeout_s)]
        except queue.Empty:
            return
        self._drain(ready)
        if any(self._killed(future) for future in ready):
            # The tasks of one dead worker are reported one after the other: all must be there to know who was alone.
            time.sleep(0.1)
            self._drain(ready)
        self._settle(ready)

    def _drain(self, ready: list[Future[Any]]) -> None:
        while True:
            try:
                ready.append(self.finished.get_nowait())
            except queue.Empty:
                return

    def _settle(self, ready: list[Future[Any]]) -> None:
        killed: dict[str, list[Future[Any]]] = defaultdict(list)
        good: list[Future[Any]] = []
        for future in ready:
            if future not in self.in_flight:
                continue
            if future.status == "finished":
                good.append(future)
            elif self._killed(future):
                killed[future.exception().last_worker.address].append(future)
            elif future.status == "error":
                self._judge(self._landed(future), Failure.from_exception(future.exception()))
            elif future.cancelled():
                raise ClusterError(self.cluster.lost_message())
            else:
                # Its worker died before the receipt was fetched; the scheduler has the task run again.
                future.add_done_callback(self.finished.put)
        for address, futures in killed.items():
            self._blame(address, futures)
        for future, outcome in self._gather(good):
            self._judge(self._landed(future), outcome)

    def _gather(self, futures: list[Future[Any]]) -> Iterator[tuple[Future[Any], Outcome]]:
        if not futures:
            return
        client = self.cluster.client
        try:
            # With a limit, because a receipt lost on the way is computed anew, and that may take workers yet to come.
            outcomes = client.sync(client._gather, futures, callback_timeout=GATHER_TIMEOUT_S)
        except CancelledError as error:
            raise ClusterError(self.cluster.lost_message()) from error
        except (KilledWorker, TimeoutError):
            # Each by itself then, when it is there (again).
            for future in futures:
                future.add_done_callback(self.finished.put)
            return
        yield from zip(futures, outcomes, strict=True)

    def _killed(self, future: Future[Any]) -> bool:
        return future.status == "error" and isinstance(future.exception(), KilledWorker)

    def _landed(self, future: Future[Any]) -> _Attempt[A]:
        attempt = self.in_flight.pop(future)
        future.release()
        self._count()
        return attempt

    def _blame(self, address: str, futures: list[Future[Any]]) -> None:
        """A worker died, or left, while these tasks were assigned to it."""
        if left_in_order(self.cluster.client, address):
            log.info("worker %s left; its tasks go to others", address)
            for future in futures:
                self._count(retried=1)
                self.again.append(self._landed(future))
            return
        self._count(worker_deaths=1)
        for future in futures:
            error = future.exception()
            attempt = self._landed(future)
            # A scheduler of somebody else may have tried more than once before telling us.
            deaths = error.allowed_failures + 1
            if len(futures) == 1:
                attempt.deaths_alone += deaths
            else:
                attempt.deaths_shared += deaths
            log.warning("worker %s died while task %s was on it", address, attempt.task.key)
            if attempt.deaths_alone >= self.max_deaths or attempt.deaths_shared >= SHARED_DEATHS:
                total = attempt.deaths_alone + attempt.deaths_shared
                self._give_up(attempt, Failure.from_deaths(total, address))
            else:
                self._count(retried=1)
                self.again.append(attempt)

    def _judge(self, attempt: _Attempt[A], outcome: Outcome | Failure) -> None:
        if isinstance(outcome, Failure):
            attempt.raised += 1
            if attempt.raised <= self.retries and outcome.worth_retrying:
                self._count(retried=1)
                self.again.append(attempt)
            else:
                self._give_up(attempt, replace(outcome, attempts=attempt.number))
        else:
            self._count(done=1)
            self.on_receipt(attempt.task, outcome.receipt)

    def _give_up(self, attempt: _Attempt[A], failure: Failure) -> None:
        self._count(failed=1)
        successors = self.on_failure(attempt.task, failure)
        self.again.extendleft(_Attempt(task) for task in successors or ())

    def _hand_over_finished(self) -> None:
        """Before giving up, pass on the receipts that have arrived; the error under way is what matters."""
        good = [future for future in self.in_flight if future.status == "finished"]
        try:
            for future, outcome in self._gather(good):
                if isinstance(outcome, Outcome):
                    self._judge(self._landed(future), outcome)
        except Exception:
            log.warning("some receipts could not be fetched while stopping", exc_info=True)

    def _cancel_all(self) -> None:
        if not self.in_flight:
            return
        try:
            self.cluster.client.cancel(list(self.in_flight), force=True)
        except Exception:
            log.warning("what was in flight could not be cancelled", exc_info=True)
        self.in_flight.clear()
        self._count()

    def _count(self, **increments: int) -> None:
        counted = Counter({name: getattr(self.progress, name) for name in increments})
        counted.update(increments)
        self.progress = replace(self.progress, **counted, in_flight=len(self.in_flight))

    def _beat(self) -> None:
        if self.heartbeat is not None:
            self.heartbeat(self.progress)


class _Watch:
    """Looks after the workers now and then: how many are there, and for how long have there been none?"""

    def __init__(self, cluster: Cluster, every_s: float) -> None:
        self._cluster = cluster
        self._every_s = every_s
        self._last_look = time.monotonic()
        self._last_seen = time.monotonic()
        self.workers = cluster.worker_count()

    def due(self) -> bool:
        return time.monotonic() - self._last_look >= self._every_s

    def look(self) -> tuple[int, float]:
        """Workers now, and seconds since the last one was seen."""
        self._cluster.tend()
        self.workers = self._cluster.worker_count()
        now = time.monotonic()
        self._last_look = now
        if self.workers:
            self._last_seen = now
        waiting_s = now - self._last_seen
        if waiting_s > self._cluster.profile.worker_wait_s:
            raise ClusterError(self._cluster.no_workers_message(waiting_s))
        return self.workers, waiting_s
