"""Curation of batches by the workers of a cluster: a task gets paths and settings, and returns a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from cluster.submit import Task, TaskProgress, run_tasks
from cluster.task import Failure
from curation.batch import Receipt, curate_batch
from curation.sandbox import Limits
from curation.settings import CurationSettings
from datagen.errors import PlanError
from datagen.steps.curate_locally import CurationWork
from datagen.steps.staging import Batch
from datagen.steps.task_errors import explained
from datagen.steps.workers import Workers, figures_of


@dataclass(frozen=True)
class BatchOrder:
    """Argument of a task: paths, settings and limits."""

    batch: str
    sha256: str
    out: str
    settings: str
    limits: str
    key: str


def curate_one_batch(order: BatchOrder) -> Receipt:
    """Curate one batch in this worker's sandbox, which is kept for the next batch."""
    return curate_batch(
        Path(order.batch),
        Path(order.out),
        CurationSettings.model_validate_json(order.settings),
        Limits.model_validate_json(order.limits),
        key=order.key,
        batch_sha256=order.sha256,
    )


class ClusterCurator:
    """Curate batches with the workers of a cluster."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __call__(self, work: CurationWork, batches: Iterator[Batch | None]) -> list[Receipt]:
        """Return the receipts of all these batches."""
        receipts: list[Receipt] = []
        first = _first(work, batches)
        if first is None:
            return receipts  # no worker is started for nothing
        settings, limits = work.settings.model_dump_json(), work.limits.model_dump_json()
        tasks = (
            None
            if batch is None
            else Task(
                batch.file,
                BatchOrder(
                    str((work.folder / batch.file).absolute()),
                    batch.sha256,
                    str((work.folder / batch.verdicts).absolute()),
                    settings,
                    limits,
                    work.key,
                ),
            )
            for batch in chain([first], batches)
        )

        def received(_: Task[BatchOrder], receipt: Receipt) -> None:
            receipts.append(receipt)
            work.progress.finished(receipt)

        def failed(task: Task[BatchOrder], failure: Failure) -> None:
            raise explained(failure, f"curation of {task.key}", work.folder, PlanError)

        def beat(tasks: TaskProgress) -> None:
            work.lock.check()
            work.progress.working(figures_of(tasks))

        cluster = self._workers.cluster()
        run_tasks(
            cluster,
            curate_one_batch,
            tasks,
            on_receipt=received,
            on_failure=failed,
            heartbeat=beat,
        )
        return receipts


def _first(work: CurationWork, batches: Iterator[Batch | None]) -> Batch | None:
    """Return the first batch, as soon as it has been read; None if there is none."""
    for batch in batches:
        if batch is not None:
            return batch
        work.lock.check()
    return None
