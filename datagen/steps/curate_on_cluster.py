"""Batches judged by the workers of a cluster: a task knows paths and settings, and returns a receipt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.submit import Task, run_tasks
from cluster.task import Failure
from curation.batch import Receipt, curate_batch
from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen.errors import PlanError
from datagen.steps.curate_locally import Judging
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
    """Curate batches with the workers of a cluster."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __call__(self, judging: Judging, batches: list[Batch]) -> list[Receipt]:
        """Receipts of all these batches."""
        receipts: list[Receipt] = []
        if not batches:
            return receipts
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
            judging.progress.finished(receipt)

        def failed(task: Task[BatchOrder], failure: Failure) -> None:
            raise explained(failure, f"curation of {task.key}", judging.staged.folder, PlanError)

        cluster = self._workers.cluster()
        judging.progress.started()
        run_tasks(
            cluster,
            judge_batch,
            tasks,
            on_receipt=received,
            on_failure=failed,
            heartbeat=lambda _: judging.lock.check(),
        )
        return receipts
