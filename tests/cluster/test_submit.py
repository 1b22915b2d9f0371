from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.config import LocalProfile
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.submit import LONGEST_TAKING_S, Task, TaskProgress, run_tasks, run_tasks_inline
from cluster.task import Failure
from tests.cluster import jobs


@dataclass
class Book:
    """What a caller of run_tasks writes down."""

    receipts: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    beats: list[TaskProgress] = field(default_factory=list)

    def receive(self, task: Task[Any], receipt: Any) -> None:
        if task.key in self.receipts:
            self.twice.append(task.key)
        self.receipts[task.key] = receipt

    def note(self, task: Task[Any], failure: Failure) -> None:
        self.failures[task.key] = failure


def numbered(count: int) -> list[Task[int]]:
    return [Task(str(number), number) for number in range(count)]


def run(
    cluster: Cluster | None, function: Callable[[Any], Any], tasks: Iterable[Task[Any]], **options: Any
) -> tuple[Book, TaskProgress]:
    book = Book()
    options = {"on_receipt": book.receive, "on_failure": book.note, "heartbeat": book.beats.append, **options}
    if cluster is None:
        return book, run_tasks_inline(function, tasks, **options)
    return book, run_tasks(cluster, function, tasks, **options)


def worker_pids(cluster: Cluster) -> list[int]:
    nannies = cluster.client.cluster.workers.values()
    return [nanny.process.pid for nanny in nannies if nanny.process is not None and nanny.process.pid is not None]


def test_every_task_is_done_once_and_its_receipt_arrives(two_workers: Cluster) -> None:
    book, progress = run(two_workers, jobs.double, numbered(100))
    assert {key: receipt["double"] for key, receipt in book.receipts.items()} == {str(n): 2 * n for n in range(100)}
    assert book.twice == []
    assert (progress.done, progress.failed, progress.in_flight) == (100, 0, 0)
    assert len({receipt["pid"] for receipt in book.receipts.values()}) == 2, "both workers took part"


def test_no_tasks_are_no_problem(two_workers: Cluster) -> None:
    assert run(two_workers, jobs.double, [])[1].done == 0


def test_the_same_keys_may_be_used_again_in_the_next_run(two_workers: Cluster) -> None:
    run(two_workers, jobs.double, numbered(5))
    book, _ = run(two_workers, jobs.double, [Task(str(n), n + 100) for n in range(5)])
    assert sorted(receipt["number"] for receipt in book.receipts.values()) == [100, 101, 102, 103, 104]


def test_the_iterator_is_read_only_for_what_is_in_flight(two_workers: Cluster) -> None:
    read = 0
    book = Book()
    ahead = []

    def source() -> Iterator[Task[int]]:
        nonlocal read
        for task in numbered(60):
            read += 1
            yield task

    def receive(task: Task[int], receipt: Any) -> None:
        book.receive(task, receipt)
        ahead.append(read - len(book.receipts))

    run(two_workers, jobs.double, source(), on_receipt=receive)
    assert len(book.receipts) == 60
    assert max(ahead) <= 8, "four per worker"


def test_tasks_that_are_made_slowly_do_not_wait_for_one_another(two_workers: Cluster) -> None:
    received = threading.Event()

    def tasks() -> Iterator[Task[int]]:
        for number in range(4):
            if number == 3:
                assert received.wait(60)  # would end the run if nothing were submitted before all are taken
            time.sleep(LONGEST_TAKING_S + 0.1 if number == 2 else 0.0)
            yield Task(str(number), number)

    def receive(task: Task[int], receipt: Any) -> None:
        received.set()

    _, progress = run(two_workers, jobs.double, tasks(), on_receipt=receive)
    assert progress.done == 4


@pytest.mark.parametrize("where", ["workers", "here"])
def test_while_the_next_task_is_not_there_the_others_are_delivered(two_workers: Cluster, where: str) -> None:
    """A source that waits for something else must not hold back receipts, heartbeats or lost workers."""
    done: list[int] = []

    def tasks() -> Iterator[Task[int] | None]:
        for number in range(3):
            yield Task(str(number), number)
            while len(done) <= number:  # goes on only when the receipt of this task was delivered
                time.sleep(0.01)
                yield None

    def receive(task: Task[int], receipt: Any) -> None:
        done.append(receipt["double"])

    book, progress = run(None if where == "here" else two_workers, jobs.double, tasks(), on_receipt=receive)
    assert done == [0, 2, 4]
    assert progress.done == 3
    assert book.failures == {}


def test_an_exception_is_told_in_words_and_not_tried_forever(two_workers: Cluster) -> None:
    book, progress = run(two_workers, jobs.refuse_odd, numbered(6))
    assert sorted(book.receipts) == ["0", "2", "4"]
    assert sorted(book.failures) == ["1", "3", "5"]
    failure = book.failures["3"]
    assert (failure.kind, failure.error, failure.error_type) == ("raised", "ValueError: 3 is odd", "ValueError")
    assert "refuse_odd" in failure.traceback
    assert failure.attempts == 1, "the same input gives the same mistake"
    assert progress.failed == 3


def test_what_the_machine_refused_is_tried_once_more(two_workers: Cluster, tmp_path: Path) -> None:
    book, progress = run(two_workers, jobs.fail_once, [Task("a", str(tmp_path / "marker"))])
    assert book.receipts == {"a": "second time"}
    assert progress.retried == 1


def test_a_lasting_refusal_ends_after_the_retries_with_its_number(two_workers: Cluster, tmp_path: Path) -> None:
    book, _ = run(two_workers, jobs.fail_once, [Task("a", str(tmp_path / "no folder" / "marker"))], retries=2)
    assert book.failures["a"].attempts == 3
    assert book.failures["a"].errno == 2


def test_data_do_not_travel_as_receipts(two_workers: Cluster) -> None:
    book, _ = run(two_workers, jobs.too_much, [Task("a", 100_000), Task("b", 100)])
    assert "100" in book.failures["a"].error
    assert book.failures["a"].error_type == "ReceiptTooLargeError"
    assert list(book.receipts) == ["b"]


def test_a_poison_task_is_named_and_the_rest_complete(two_workers: Cluster) -> None:
    book, progress = run(two_workers, jobs.die_for_seven, numbered(30))
    assert sorted(map(int, book.receipts)) == [n for n in range(30) if n != 7]
    assert list(book.failures) == ["7"]
    assert (book.failures["7"].kind, book.failures["7"].attempts) == ("killed", 3)
    assert progress.worker_deaths == 3, "no bystander was sent to die with it"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_tasks_share_no_worker_so_that_only_the_culprit_is_reported(two_workers: Cluster, count: int) -> None:
    tasks = [Task(str(n), 7 - n) for n in range(count)]
    book, _ = run(two_workers, jobs.die_for_seven, tasks, max_deaths=1)
    assert list(book.failures) == ["0"]
    assert sorted(book.receipts) == [task.key for task in tasks[1:]]


def test_workers_killed_at_random_moments_cost_nothing(two_workers: Cluster) -> None:
    chance = random.Random(20240611)
    stop = threading.Event()
    killed: set[int] = set()

    def assassin() -> None:
        # Some victims are at work, some are just being started; a slow machine must get one up now and then.
        while len(killed) < 6 and not stop.wait(chance.uniform(0.05, 0.4)):
            pids = worker_pids(two_workers)
            if two_workers.client.cluster.scheduler.workers and pids:
                victim = chance.choice(pids)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.add(victim)

    thread = threading.Thread(target=assassin)
    thread.start()
    try:
        # Each moment of death is chance, not guilt: the limit is set out of reach.
        book, progress = run(two_workers, jobs.slowly, numbered(100), max_deaths=50)
    finally:
        stop.set()
        thread.join()
    assert sorted(map(int, book.receipts)) == list(range(100))
    assert book.failures == {}
    assert book.twice == []
    assert len(killed) >= 3
    assert progress.worker_deaths >= 1


def test_an_error_of_the_caller_stops_the_run_and_leaves_nothing_in_flight(two_workers: Cluster) -> None:
    class DiskFullError(Exception):
        pass

    def receive(task: Task[int], receipt: Any) -> None:
        raise DiskFullError

    with pytest.raises(DiskFullError):
        run(two_workers, jobs.slowly, numbered(30), on_receipt=receive)
    deadline = time.monotonic() + 10
    while any(two_workers.client.processing().values()):
        assert time.monotonic() < deadline, "cancelled tasks are still on the workers"
        time.sleep(0.05)
    assert run(two_workers, jobs.double, numbered(4))[1].done == 4, "the cluster is fit for the next run"


def test_an_interrupt_hands_over_what_was_finished(two_workers: Cluster) -> None:
    book = Book()

    def receive(task: Task[int], receipt: Any) -> None:
        book.receive(task, receipt)
        if len(book.receipts) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(two_workers, jobs.slowly, numbered(100), on_receipt=receive)
    assert 10 <= len(book.receipts) < 30
    assert book.twice == []


def test_the_heartbeat_counts_what_happens(two_workers: Cluster) -> None:
    two_workers.wait_for_workers(2, timeout_s=60)
    book, progress = run(two_workers, jobs.slowly, numbered(40), heartbeat_s=0.1)
    assert len(book.beats) >= 4
    assert [beat.done for beat in book.beats] == sorted(beat.done for beat in book.beats)
    assert all(beat.workers == 2 and beat.in_flight <= 8 for beat in book.beats)
    assert book.beats[-1] == progress


def test_without_workers_the_run_ends_with_a_sentence() -> None:
    with connect(LocalProfile(workers=1, worker_wait_s=1.0)) as cluster:
        cluster.wait_for_workers(1, timeout_s=60)
        cluster.client.retire_workers(list(cluster.client.nthreads()))
        with pytest.raises(ClusterError, match="no worker has been connected for"):
            run(cluster, jobs.slowly, numbered(10), heartbeat_s=0.2)


def test_in_this_process_everything_means_the_same(tmp_path: Path) -> None:
    book, progress = run(None, jobs.refuse_odd, numbered(6))
    assert book.receipts == {"0": 0, "2": 2, "4": 4}
    assert book.failures["3"].error == "ValueError: 3 is odd"
    assert (progress.done, progress.failed) == (3, 3)
    book, progress = run(None, jobs.fail_once, [Task("a", str(tmp_path / "marker"))])
    assert book.receipts == {"a": "second time"}
    assert progress.retried == 1
