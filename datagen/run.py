"""From a configuration to a finished dataset: load, plan, curate, simulate shards, finalise, verify, report."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.markup import escape

from cluster.config import Profile
from cluster.connect import Cluster
from cluster.perform import Failure
from cluster.submit import Progress, Task, run_tasks
from datagen import files, ledger, store
from datagen.accepted import Accepted, write_accepted
from datagen.broken import explained
from datagen.config import DatagenConfig
from datagen.curate import TABLE, UNFINISHED, CurateJob, curate_locked
from datagen.errors import PlanError, StoreError
from datagen.job import WORK, Job, write_job
from datagen.judge_on_cluster import ClusterJudge, RunProgress
from datagen.layout import files_of, layout_for
from datagen.lock import Lock, locked
from datagen.plan import Shard, cut_shards, fill_holes, shard_length
from datagen.progress import Display, duration, size
from datagen.provenance import attributes_of, fingerprint_of, job_of
from datagen.quarantine import Quarantine
from datagen.report import write_report
from datagen.room import check_room, least_bytes
from datagen.shard import ACCEPTED, ShardOrder, ShardReport, probe_shard, simulate_shard, warm_up
from datagen.staging import differences, read_staged
from datagen.structures_table import CURATION_TABLE, write_structures_table
from datagen.verify import verify
from datagen.workers import Workers

CONFIG = "config.json"
PROBES = 2
"""How often a shard whose worker died is probed, and found blameless, before we stop and say so."""
CHECKING_THREADS = 4
SOON_s = 5.0
"""Waiting for workers shorter than this is not worth mentioning."""


@dataclass
class Outcome:
    """What a run has made, in numbers."""

    dataset: Path
    counts: Counter[str] = field(default_factory=Counter)
    """Records accepted, and refused by reason."""
    n_structures: int = 0
    n_duplicates: int = 0
    n_patterns: int = 0
    n_densities: int = 0
    bytes: int = 0
    seconds: float = 0.0
    n_patterns_now: int = 0
    """Patterns that this call made itself."""
    stage_seconds: Counter[str] = field(default_factory=Counter)
    """Worker seconds of this call, by stage."""
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    """Source id and reason of each."""
    peak_worker_memory_MB: float = 0.0
    phase_seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of this call by phase; starting workers is a phase of its own."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Charge a stretch of the run to a phase."""
        began = time.monotonic()
        yield
        self.phase_seconds[phase] = time.monotonic() - began


def run(
    config: DatagenConfig, dataset: Path, *, profile: Profile | None = None, display: Display | None = None
) -> Outcome:
    """Make the dataset, or go on where an earlier run stopped; doing it again when it is complete changes nothing."""
    began = time.monotonic()
    display = display or Display()
    outcome = Outcome(dataset)
    with ExitStack() as stack:
        workers = stack.enter_context(Workers(profile or config.cluster.choose(), display))
        refuse_foreign(dataset)
        if config.simulation.engine != "native":
            warm_up(job_of(config))  # an engine that is missing here is said before hours of curation
        stack.enter_context(files.disk_errors_explained(dataset))
        lock = stack.enter_context(locked(dataset / WORK))
        job = begin(config, dataset)
        with outcome.timed("curate"):
            curate(config, dataset, workers, lock, outcome, display)
        with outcome.timed("simulate"):
            plan = simulate(config, job, dataset, workers, lock, outcome, display)
        workers.close()
        outcome.phase_seconds["start workers"] = workers.seconds_to_start
        with outcome.timed("finalise"):
            finalise(job, dataset, plan, outcome)
        with outcome.timed("verify"):
            verify(dataset, sample=config.run.verify_sample, display=display)
        outcome.seconds = time.monotonic() - began
        with outcome.timed("report"):
            write_report(dataset, outcome)
        tidy(dataset)
    return outcome


def curate(
    config: DatagenConfig, dataset: Path, workers: Workers, lock: Lock, outcome: Outcome, display: Display
) -> None:
    """Stage every record, judge every batch, join the verdicts into one table."""
    work = dataset / WORK
    judge = ClusterJudge(workers, display)
    summary = curate_locked(CurateJob.of(config), work, judge, lock, RunProgress(display))
    outcome.counts.update(summary.counts)
    if summary.n_records == 0:
        names = ", ".join(c.name for c in config.catalog)
        raise PlanError(f"the catalogs ({names}) hold no CIF at all; check their paths, then delete {work}")
    if summary.n_resumed < summary.n_records:
        display.say(f"curated: {summary.counts['accepted']:,} of {summary.n_records:,} records accepted")


def refuse_foreign(dataset: Path) -> None:
    """Never scatter a dataset among somebody's other files: the place is new, empty, or a dataset's already."""
    if (dataset / "zarr.json").exists():
        store.read_attributes(dataset)
    elif dataset.is_dir() and not (dataset / WORK).is_dir() and (other := sorted(p.name for p in dataset.iterdir())):
        raise StoreError(
            f"{dataset}: holds other files ({', '.join(other[:3])}{', ...' if len(other) > 3 else ''}); "
            "choose a new or empty folder with --out"
        )


def begin(config: DatagenConfig, dataset: Path) -> Job:
    """Record what is to be made here, or refuse when something else was begun."""
    now = fingerprint_of(config)
    path = dataset / WORK / CONFIG
    if path.exists() and anything_done(dataset):
        changed = differences(json.loads(path.read_text(encoding="utf-8")), now)
        if changed:
            raise PlanError(
                f"{dataset}: begun with other settings:\n  " + "\n  ".join(changed) + "\n"
                "restore them to go on, or choose another place with --out to make another dataset"
            )
    else:
        files.write_bytes(path, files.to_json(now))
    job = job_of(config)
    write_job(dataset, job)
    return job


def anything_done(dataset: Path) -> bool:
    """Whether an earlier call got as far as reading its catalogs; if not, its settings bind nobody."""
    work = dataset / WORK
    return (work / TABLE).exists() or (dataset / "zarr.json").exists() or read_staged(work / UNFINISHED) is not None


@dataclass(frozen=True)
class Plan:
    """What goes where, after everything that cannot be simulated was set aside."""

    accepted: Accepted
    shards: list[Shard]
    duplicates: dict[int, int]
    """Line of the verdicts -> line of the first with the same structure."""


def simulate(
    config: DatagenConfig, job: Job, dataset: Path, workers: Workers, lock: Lock, outcome: Outcome, display: Display
) -> Plan:
    """Make every shard of the plan; whenever a structure proves impossible, set it aside and plan anew."""
    work = dataset / WORK
    duplicates = write_accepted(work / TABLE, work / ACCEPTED, drop_duplicates=config.store.duplicates == "drop")
    accepted = Accepted(work / ACCEPTED)
    if not len(accepted):
        raise PlanError(
            f"{dataset}: none of {outcome.counts.total():,} records was accepted ({counted(outcome.counts)}): there is "
            f"nothing to simulate; `datagen why ID --dataset {work}` tells what each check saw"
        )
    outcome.n_duplicates = len(duplicates)
    quarantine = Quarantine(work)
    while True:
        shards = plan_shards(job, accepted, quarantine)
        initialise_store(config, job, dataset, accepted, shards)
        timed = workers.kind != "here"
        maker = ShardMaker(job, dataset, accepted, shards, quarantine, lock, outcome, display, timed=timed)
        if not maker.make(workers):
            return Plan(accepted, shards, duplicates)


def plan_shards(job: Job, accepted: Accepted, quarantine: Quarantine) -> list[Shard]:
    """Rows and shards of everything accepted and not set aside."""
    hashes = accepted.column("structure_hash")
    set_aside = [i for i, h in enumerate(hashes) if h in quarantine]
    order = fill_holes(len(hashes), set_aside)
    if not order:
        raise PlanError(
            f"all {len(hashes):,} accepted structures were set aside "
            f"({counted(Counter(reason for _, reason in quarantine.reasons()))}), so there is no pattern to keep; "
            "`datagen reasons` explains them, `datagen retry` has them tried again"
        )
    return cut_shards(order, hashes, shard_length(len(hashes), job.store.structures_per_shard), job.key())


def initialise_store(config: DatagenConfig, job: Job, dataset: Path, accepted: Accepted, shards: list[Shard]) -> None:
    """Write the dataset's frame: metadata, coordinates and all labels."""
    order = [member for shard in shards for member in shard.members]
    labels = accepted.labels(order)
    layout = layout_for(
        job,
        accepted.crystals(),
        n_structures=len(order),
        structures_per_shard=shard_length(len(accepted), job.store.structures_per_shard),
        any_density=any(accepted.column("density_path")),
        text_bytes=store.text_bytes(labels),
    )
    check_room(files_of(layout), least_bytes(layout), dataset, job.store.max_files)
    store.create(dataset, layout, labels, job.simulation.instrument.two_theta_deg, attributes_of(config))


class ShardMaker:
    """Has the workers make the shards that are not committed yet, and finds out what kills them."""

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
        """Make them all; how many structures were newly set aside, so that the plan has changed."""
        if not self._orders:
            return 0
        cluster = workers.cluster()
        with self._display.phase("simulate", self._total, "structures"):
            todo = self._orders
            while todo:
                self._send(cluster, simulate_shard, "shard", todo)
                todo, self._suspects = self._suspects, []
                before = self._set_aside
                self._send(cluster, probe_shard, "probe", todo)
                if self._set_aside > before:
                    todo = []  # they wait for the new plan; shards found blameless are tried again
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
            self._display.say(f"[yellow]set aside[/] {escape(row['source_id'])}: {reason} ({escape(detail)})")
            self._set_aside += 1
        if report.committed:
            self._done += report.n_structures
            self._written += report.bytes
            outcome = self._outcome
            outcome.n_patterns_now += report.n_patterns
            outcome.stage_seconds.update(report.stage_seconds or {})
            outcome.peak_worker_memory_MB = max(outcome.peak_worker_memory_MB, report.peak_memory_MB)

    def _failed(self, task: Task[ShardOrder], failure: Failure) -> Iterable[Task[ShardOrder]]:
        order = task.argument
        where = f"{self._dataset}: shard {order.shard}"
        if failure.kind == "raised" and failure.error_type != "MemoryError":
            raise explained(failure, f"shard {order.shard}", self._dataset, StoreError)
        self._probes[order.shard] += 1
        if self._probes[order.shard] > PROBES:
            raise StoreError(
                f"{where}: workers die on it or lack memory, yet none of its structures does harm alone "
                f"({failure.error}); give workers more memory, or look at the node's log, and "
                "give the same command again"
            )
        self._suspects.append(order)
        return ()

    def _beat(self, progress: Progress) -> None:
        self._lock.check()
        rate = (self._outcome.n_patterns_now - self._before) / max(self._display.elapsed(), 1e-9)
        facts = f"{rate:,.0f} patterns/s, {size(self._written)}, {progress.workers} workers"
        if len(self._quarantine):
            facts += f", {len(self._quarantine)} set aside"
        if progress.waiting_for_workers_s > SOON_s:
            facts += f", waiting {duration(progress.waiting_for_workers_s)} for workers"
        self._display.advance(self._done, facts)


def finalise(job: Job, dataset: Path, plan: Plan, outcome: Outcome) -> None:
    """Count the receipts against the plan, publish the table of verdicts, mark the dataset complete."""
    work = dataset / WORK
    outcome.counts = write_structures_table(dataset, work / TABLE, plan.accepted, plan.shards, plan.duplicates, work)
    frame = ledger.read_frame(dataset) or {}
    ledger.write_frame(dataset, {**frame, CURATION_TABLE: ledger.entry_of((dataset / CURATION_TABLE).read_bytes())})
    store.finalise(dataset, {}, [shard.key for shard in plan.shards])
    receipts = ledger.committed(dataset).values()
    outcome.n_structures = sum(receipt.n_structures for receipt in receipts)
    outcome.n_densities = sum(receipt.n_densities for receipt in receipts)
    outcome.n_patterns = outcome.n_structures * job.simulation.augmentation.count
    outcome.bytes = sum(receipt.size for receipt in receipts)
    outcome.set_aside = Quarantine(work).reasons()


def counted(counts: Counter[str]) -> str:
    """Reasons with their numbers, the commonest first."""
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common())


def tidy(dataset: Path) -> None:
    """Delete what only an unfinished run needs; what it was begun with stays, so that the same command knows it."""
    shutil.rmtree(dataset / WORK / UNFINISHED, ignore_errors=True)


def is_committed(dataset: Path, shard: Shard) -> bool:
    """Whether the shard is done for this very content and every byte is there; a damaged one is done again."""
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
