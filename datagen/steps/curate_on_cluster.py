"""Batches judged by the workers of a cluster: a task knows paths and settings, and returns a receipt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from catalogs.record import Record
from cluster.submit import Task, run_tasks
from cluster.task import Failure
from curation.batch import Receipt, curate_batch
from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen.errors import PlanError
from datagen.progress import Display
from datagen.steps.curate_here import Judging, Progress
from datagen.steps.staging import Batch
from datagen.steps.task_errors import explained
from datagen.steps.workers import Workers


@dataclass(frozen=True)
class BatchOrder:
    """What a task is told."""

    batch: str
    out: str
    settings: str
    limits: str
    key: str


def judge_batch(order: BatchOrder) -> Receipt:
    """Judge one batch in this worker's sandbox, which stays warm from batch to batch."""
    return curate_batch(
        Path(order.batch),
        Path(order.out),
        CurationSettings.model_validate_json(order.settings),
        Limits.model_validate_json(order.limits),
        key=order.key,
    )


class ClusterJudge:
    """Has batches judged on a cluster and shows how far they are."""

    def __init__(self, workers: Workers, display: Display) -> None:
        self._workers = workers
        self._display = display

    def __call__(self, judging: Judging, batches: list[Batch]) -> list[Receipt]:
        """Receipts of all these batches."""
        receipts: list[Receipt] = []
        if not batches:
            return receipts
        progress = judging.progress
        settings, limits = judging.settings.model_dump_json(), judging.limits.model_dump_json()
        tasks = [
            Task(
                batch.file,
                BatchOrder(
                    str(judging.staged.path_of(batch).absolute()),
                    str(judging.staged.verdicts_of(batch).absolute()),
                    settings,
                    limits,
                    judging.key,
                ),
            )
            for batch in batches
        ]

        def received(_: Task[BatchOrder], receipt: Receipt) -> None:
            receipts.append(receipt)
            if isinstance(progress, RunProgress):
                progress.finished(receipt)

        def failed(task: Task[BatchOrder], failure: Failure) -> None:
            raise explained(failure, f"curation of {task.key}", judging.staged.folder, PlanError)

        cluster = self._workers.cluster()
        total = judging.staged.n_records
        with self._display.phase("curate", total, "records"):
            if isinstance(progress, RunProgress):
                progress.show()
            run_tasks(
                cluster,
                judge_batch,
                tasks,
                on_receipt=received,
                on_failure=failed,
                heartbeat=lambda _: judging.lock.check(),
            )
        return receipts


class RunProgress(Progress):
    """Curation's progress on the run's display, a batch at a time."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._counts: Counter[str] = Counter()
        self._read = 0

    def read(self, record: Record) -> None:
        """A record was read."""
        del record
        self._read += 1
        if self._read % 500 == 0:
            self._display.note(f"{self._read:,} records read")

    def judging(self, total: int, finished: Counter[str]) -> None:
        """How much there is, and how much of it an earlier run finished."""
        del total
        self._counts = Counter(finished)

    def finished(self, receipt: Receipt) -> None:
        """A batch was judged."""
        self._counts.update(receipt.counts)
        self.show()

    def show(self) -> None:
        """Counts so far."""
        done, accepted = self._counts.total(), self._counts["accepted"]
        self._display.advance(done, f"{accepted:,} accepted, {done - accepted:,} refused")
