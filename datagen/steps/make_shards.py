"""Simulation of the shards that are not committed yet, and the search for structures that kill workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.markup import escape

from cluster.connect import Cluster
from cluster.submit import Task, TaskProgress, run_tasks
from cluster.task import Failure
from datagen.config.job import Job
from datagen.errors import StoreError
from datagen.progress import Display, duration, size
from datagen.steps.accepted import Accepted
from datagen.steps.outcome import Outcome
from datagen.steps.quarantine import Quarantine
from datagen.steps.shard_task import ShardOrder, ShardReport, probe_shard, simulate_shard
from datagen.steps.shards import Shard
from datagen.steps.task_errors import explained
from datagen.steps.workers import Workers, figures_of
from datagen.store import ledger
from datagen.store.lock import Lock

PROBES = 2
"""Largest number of probes without a finding of a shard whose workers died."""
CHECKING_THREADS = 4
SOON_s = 5.0
"""Shorter waits for workers are not shown."""


class ShardMaker:
    """Simulate the shards that are not committed yet, and quarantine structures that kill workers."""

    def __init__(
        self,
        job: Job,
        dataset: Path,
        accepted: Accepted,
        shards: list[Shard],
        quarantine: Quarantine,
        lock: Lock,
        outcome: Outcome,
        display: Display,
        *,
        timed: bool,
    ) -> None:
        self._dataset = dataset
        self._accepted = accepted
        self._quarantine = quarantine
        self._lock = lock
        self._outcome = outcome
        self._display = display
        with ThreadPoolExecutor(CHECKING_THREADS) as pool:  # checksums are computed without the interpreter's lock
            committed = list(pool.map(partial(is_committed, dataset), shards))
        self._orders = [
            ShardOrder(str(dataset.absolute()), shard.index, shard.members, shard.key, job.key(), timed)
            for shard, done in zip(shards, committed, strict=True)
            if not done
        ]
        self._total = sum(len(shard.members) for shard in shards)
        self._done = self._total - sum(len(order.members) for order in self._orders)
        self._written = sum(receipt.size for receipt in ledger.committed(dataset).values())
        self._set_aside = 0
        self._probes: Counter[int] = Counter()
        self._suspects: list[ShardOrder] = []
        self._before = outcome.n_patterns_now

    def make(self, workers: Workers) -> int:
        """Make all shards; return the number of newly quarantined structures, after which the plan has changed."""
        if not self._orders:
            self._display.say(
                f"nothing to do: all {self._total:,} structures are made (their catalogs were read when the "
                "dataset was begun; --extend adds what they hold since)"
            )
            return 0
        if self._done:
            self._display.say(f"resuming: {self._done:,} of {self._total:,} structures were made before")
        cluster = workers.cluster()
        with self._display.phase("simulate", self._total, "structures"):
            todo = self._orders
            while todo:
                self._send(cluster, simulate_shard, "shard", todo)
                todo, self._suspects = self._suspects, []
                before = self._set_aside
                self._send(cluster, probe_shard, "probe", todo)
                if self._set_aside > before:
                    todo = []  # the new plan includes them, and shards without a finding
        return self._set_aside

    def _send(
        self, cluster: Cluster, work: Callable[[ShardOrder], ShardReport], name: str, o: list[ShardOrder]
    ) -> None:
        tasks = [Task(f"{name}-{order.shard:05d}", order) for order in o]
        run_tasks(cluster, work, tasks, on_receipt=self._received, on_failure=self._failed, heartbeat=self._beat)

    def _received(self, _: Task[ShardOrder], report: ShardReport) -> None:
        for member, reason, detail in report.quarantined:
            row = next(self._accepted.rows([member]))
            self._quarantine.add(row["structure_hash"], row["source_id"], reason, detail)
            self._display.say(f"[yellow]quarantined[/] {escape(row['source_id'])}: {reason} ({escape(detail)})")
            self._set_aside += 1
        if report.committed:
            self._done += report.n_structures
            self._written += report.bytes
            outcome = self._outcome
            outcome.n_structures_now += report.n_structures
            outcome.n_patterns_now += report.n_patterns
            outcome.stage_seconds.update(report.stage_seconds or {})
            outcome.peak_worker_memory_MB = max(outcome.peak_worker_memory_MB, report.peak_memory_MB)

    def _failed(self, task: Task[ShardOrder], failure: Failure) -> None:
        order = task.argument
        where = f"{self._dataset}: shard {order.shard}"
        if failure.kind == "raised" and failure.error_type != "MemoryError":
            raise explained(failure, f"shard {order.shard}", self._dataset, StoreError)
        self._probes[order.shard] += 1
        if self._probes[order.shard] > PROBES:
            raise StoreError(
                f"{where}: its workers die or run out of memory, but no structure does so in a sandbox "
                f"({failure.error}); give workers more memory, or check the node's log, and "
                "re-run the same command"
            )
        self._suspects.append(order)

    def _beat(self, progress: TaskProgress) -> None:
        self._lock.check()
        rate = (self._outcome.n_patterns_now - self._before) / max(self._display.elapsed(), 1e-9)
        facts = f"{rate:,.0f} patterns/s, {size(self._written)}, {progress.workers} workers"
        facts += f", {progress.in_flight} shards under way"
        if len(self._quarantine):
            facts += f", {len(self._quarantine)} quarantined"
        if progress.waiting_for_workers_s > SOON_s:
            facts += f", waiting {duration(progress.waiting_for_workers_s)} for workers"
        figures = replace(
            figures_of(progress),
            n_patterns=self._outcome.n_patterns_now,
            n_bytes=self._written,
            n_quarantined=len(self._quarantine),
        )
        self._display.advance(self._done, facts, figures)


def is_committed(dataset: Path, shard: Shard) -> bool:
    """Return whether the shard is complete with this content; the receipt of a damaged one is revoked."""
    try:
        receipt = ledger.read(dataset, shard.index)
    except StoreError:
        ledger.revoke(dataset, shard.index)
        return False
    if receipt is None or receipt.key != shard.key:
        return False
    if ledger.damages(dataset, receipt.files):
        ledger.revoke(dataset, shard.index)
        return False
    return True
