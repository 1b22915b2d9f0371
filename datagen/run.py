"""From a configuration to a finished dataset: load, plan, curate, simulate shards, finalise, verify, report."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalogs.open import open_catalogs
from cluster.connect import Cluster, connect
from cluster.perform import Failure
from cluster.submit import Progress, Task, run_tasks
from curation.table import VERDICT_SCHEMA, concatenate
from datagen import files, ledger, store
from datagen.accepted import Accepted, write_accepted
from datagen.batch_task import BatchOrder, BatchReport, curate_staged_batch, finished_report
from datagen.config import DatagenConfig
from datagen.errors import PlanError, StoreError
from datagen.job import WORK, Job, write_job
from datagen.lock import locked
from datagen.plan import Shard, cut_shards, fill_holes, shard_length
from datagen.progress import Display, duration, size
from datagen.provenance import attributes_of, fingerprint_of
from datagen.quarantine import Quarantine
from datagen.report import write_report
from datagen.row import extra_augmentations
from datagen.schema import Layout
from datagen.shard import ACCEPTED, ShardOrder, ShardReport, probe_shard, simulate_shard
from datagen.staging import Staged, differences, discard_staged, read_staged, stage_records
from datagen.structures_table import CURATION_TABLE, write_structures_table
from datagen.verify import verify

CONFIG = "config.json"
STAGED = "staged"
VERDICTS = "verdicts"
TABLE = "curation.parquet"
PROBES = 2
"""How often a shard whose worker died is probed, and found blameless, before we stop and say so."""


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
    stage_seconds: Counter[str] = field(default_factory=Counter)
    quarantined: dict[str, str] = field(default_factory=dict)
    peak_worker_memory_MB: float = 0.0


def run(config: DatagenConfig, dataset: Path, *, profile: Any = None, display: Display | None = None) -> Outcome:
    """Make the dataset, or go on where an earlier run stopped; doing it again when it is complete changes nothing."""
    display = display or Display()
    outcome = Outcome(dataset)
    with locked(dataset / WORK) as lock, files.disk_errors_explained(dataset):
        job = begin(config, dataset)
        with connect(profile or config.cluster.chosen()) as cluster:
            if cluster.dashboard_link:
                display.say(f"dashboard: {cluster.dashboard_link}")
            curate(config, dataset, cluster, outcome, display)
            lock.check()
            shards = simulate(config, job, dataset, cluster, outcome, display)
        lock.check()
        finalise(config, job, dataset, shards, outcome)
        verify(dataset, sample=config.run.verify_sample, display=display)
        write_report(dataset)
        tidy(dataset)
    return outcome


def begin(config: DatagenConfig, dataset: Path) -> Job:
    """Record what is to be made here, or refuse when something else was begun."""
    now = fingerprint_of(config)
    path = dataset / WORK / CONFIG
    if path.exists():
        changed = differences(json.loads(path.read_text(encoding="utf-8")), now)
        if changed:
            raise PlanError(
                f"{dataset}: begun with other settings:\n  " + "\n  ".join(changed) + "\n"
                "restore them to go on, or choose another place with --out to make another dataset"
            )
    else:
        files.write_bytes(path, files.to_json(now))
    job = Job(simulation=config.simulation, density=config.density, store=config.store, run=config.run)
    write_job(dataset, job)
    return job


def curate(config: DatagenConfig, dataset: Path, cluster: Cluster, outcome: Outcome, display: Display) -> None:
    """Stage every record, judge every batch, join the verdicts into one table."""
    table = dataset / WORK / TABLE
    if table.exists():
        outcome.counts.update(count_verdicts(table))
        return
    staged = stage(config, dataset, display)
    judge(config, dataset, staged, cluster, outcome, display)
    concatenate([verdicts_path(dataset, batch.file) for batch in staged.batches], table, VERDICT_SCHEMA)


def stage(config: DatagenConfig, dataset: Path, display: Display) -> Staged:
    """Read the catalogs once and write down what they held."""
    folder = dataset / WORK / STAGED
    staged = read_staged(folder)
    if staged is None:
        with display.phase("read", None, "records"):
            count = 0

            def counted(_: Any) -> None:
                nonlocal count
                count += 1
                display.advance(count)

            staged = stage_records(open_catalogs(list(config.catalog)), folder, {}, on_record=counted)
    if staged.n_records == 0:
        names = ", ".join(c.name for c in config.catalog)
        raise PlanError(f"the catalogs ({names}) hold no CIF at all; check their paths")
    return staged


def judge(
    config: DatagenConfig, dataset: Path, staged: Staged, cluster: Cluster, outcome: Outcome, display: Display
) -> None:
    """Curate the batches that are not done yet."""
    done = 0
    tasks: list[Task[BatchOrder]] = []
    for batch in staged.batches:
        order = BatchOrder(
            str(staged.path_of(batch)),
            str(verdicts_path(dataset, batch.file)),
            config.curation.model_dump_json(),
            config.limits.model_dump_json(),
            batch.sha256,
        )
        finished = finished_report(order)
        if finished is None:
            tasks.append(Task(batch.file, order))
        else:
            outcome.counts.update(finished.counts)
            done += batch.rows

    def received(task: Task[BatchOrder], report: BatchReport) -> None:
        nonlocal done
        done += report.rows
        outcome.counts.update(report.counts)
        accepted = outcome.counts["accepted"]
        display.advance(done, f"{accepted:,} accepted, {done - accepted:,} refused")

    def failed(task: Task[BatchOrder], failure: Failure) -> None:
        raise PlanError(
            f"curation of {task.key} failed {failure.attempts} times, at last with: {failure.error}\n{failure.traceback}"
        )

    with display.phase("curate", staged.n_records, "records"):
        display.advance(done)
        run_tasks(cluster, curate_staged_batch, tasks, on_receipt=received, on_failure=failed)


def simulate(
    config: DatagenConfig, job: Job, dataset: Path, cluster: Cluster, outcome: Outcome, display: Display
) -> list[Shard]:
    """Make every shard of the plan; whenever a structure proves impossible, set it aside and plan anew."""
    work = dataset / WORK
    accepted_path = work / ACCEPTED
    duplicates = write_accepted(work / TABLE, accepted_path, drop_duplicates=config.store.duplicates == "drop")
    outcome.n_duplicates = len(duplicates)
    accepted = Accepted(accepted_path)
    quarantine = Quarantine(work)
    while True:
        shards = plan_shards(job, accepted, quarantine)
        initialise_store(config, job, dataset, accepted, shards)
        orders = [
            ShardOrder(str(dataset), shard.index, shard.members, shard.key, job.key())
            for shard in shards
            if not is_committed(dataset, shard)
        ]
        found = make_shards(orders, dataset, accepted, shards, quarantine, cluster, outcome, display)
        if not found:
            return shards


def plan_shards(job: Job, accepted: Accepted, quarantine: Quarantine) -> list[Shard]:
    """Rows and shards of everything accepted and not set aside."""
    hashes = accepted.column("structure_hash")
    set_aside = [i for i, h in enumerate(hashes) if h in quarantine]
    order = fill_holes(len(hashes), set_aside)
    if not order:
        raise PlanError("no structure was accepted: there is nothing to simulate; `datagen reasons` explains refusals")
    return cut_shards(order, hashes, shard_length(len(hashes), job.store.structures_per_shard), job.key())


def initialise_store(config: DatagenConfig, job: Job, dataset: Path, accepted: Accepted, shards: list[Shard]) -> None:
    """Write the dataset's frame: metadata, coordinates and all labels."""
    order = [member for shard in shards for member in shard.members]
    labels = accepted.labels(order)
    settings = job.simulation
    with_densities = job.density.method != "none" and (
        job.density.method == "independent_atoms" or any(accepted.column("density_path"))
    )
    extra = extra_augmentations(settings.augmentation)
    slots = accepted.reflection_slots(settings.instrument)
    layout = Layout(
        n_structures=len(order),
        n_augmentations=settings.augmentation.count,
        n_points=settings.instrument.n_points,
        structures_per_shard=shard_length(len(accepted), job.store.structures_per_shard),
        reflection_slots=slots,
        member_slots=slots,
        n_lines=len(settings.instrument.lines),
        text_bytes=store.text_bytes(labels),
        with_members="march_r" in extra,
        with_xrd_peaks=job.store.xrd_peaks == "all" or (job.store.xrd_peaks == "with_density" and with_densities),
        with_densities=with_densities,
        extra_augmentations=extra,
    )
    store.create(dataset, layout, labels, settings.instrument.two_theta_deg, attributes_of(config, job))


def make_shards(
    orders: list[ShardOrder],
    dataset: Path,
    accepted: Accepted,
    shards: list[Shard],
    quarantine: Quarantine,
    cluster: Cluster,
    outcome: Outcome,
    display: Display,
) -> int:
    """Have the workers make these shards; return how many structures were newly set aside."""
    found = 0
    done = sum(len(s.members) for s in shards) - sum(len(o.members) for o in orders)
    probes: Counter[int] = Counter()
    written = sum(receipt.size for receipt in ledger.committed(dataset).values())
    patterns = outcome.n_patterns
    seen = Progress()

    def received(task: Task[ShardOrder], report: ShardReport) -> None:
        nonlocal done, found, written
        for member, reason, detail in report.quarantined:
            row = next(accepted.rows([member]))
            quarantine.add(row["structure_hash"], row["source_id"], reason, detail)
            display.say(f"[yellow]set aside[/] {row['source_id']}: {reason} ({detail})")
            found += 1
        if report.committed:
            done += report.n_structures
            written += report.bytes
            outcome.n_patterns += report.n_patterns
            outcome.stage_seconds.update(report.stage_seconds or {})
            outcome.peak_worker_memory_MB = max(outcome.peak_worker_memory_MB, report.peak_memory_MB)
        beat(seen)

    def failed(task: Task[ShardOrder], failure: Failure) -> Iterator[Task[ShardOrder]] | list[Task[ShardOrder]]:
        order = task.argument
        if failure.kind == "raised":
            raise StoreError(
                f"{dataset}: shard {order.shard} failed on {failure.worker}: {failure.error}\n{failure.traceback}"
            )
        probes[order.shard] += 1
        if probes[order.shard] > PROBES:
            raise StoreError(
                f"{dataset}: workers die on shard {order.shard}, yet each of its structures alone does no harm "
                f"({failure.error}); give workers more memory, or look at the node's log, and run again"
            )
        suspects.append(order)
        return []

    def beat(progress: Progress) -> None:
        nonlocal seen
        seen = progress
        rate = (outcome.n_patterns - patterns) / max(display.elapsed(), 1e-9)
        facts = f"{rate:,.0f} patterns/s, {size(written)}, {progress.workers} workers"
        if len(quarantine):
            facts += f", {len(quarantine)} set aside"
        if progress.waiting_for_workers_s > 5:
            facts += f", waiting {duration(progress.waiting_for_workers_s)} for workers"
        display.advance(done, facts)

    suspects: list[ShardOrder] = []
    with display.phase("simulate", sum(len(s.members) for s in shards), "structures"):
        todo = [Task(f"shard-{order.shard:05d}", order) for order in orders]
        while todo:
            run_tasks(cluster, simulate_shard, todo, on_receipt=received, on_failure=failed, heartbeat=beat)
            probing = [Task(f"probe-{order.shard:05d}", order) for order in suspects]
            before = found
            run_tasks(cluster, probe_shard, probing, on_receipt=received, on_failure=failed, heartbeat=beat)
            # Shards whose structures are all blameless are tried again; the others wait for the new plan.
            todo = [Task(f"shard-{o.shard:05d}", o) for o in suspects] if found == before else []
            suspects = []
    return found


def finalise(config: DatagenConfig, job: Job, dataset: Path, shards: list[Shard], outcome: Outcome) -> None:
    """Count the receipts against the plan, publish the tables, mark the dataset complete."""
    write_structures_table(dataset, shards)
    store.finalise(dataset, {}, [shard.key for shard in shards])
    receipts = ledger.committed(dataset)
    outcome.n_structures = sum(receipt.n_structures for receipt in receipts.values())
    outcome.n_densities = sum(receipt.n_densities for receipt in receipts.values())
    outcome.n_patterns = outcome.n_structures * job.simulation.augmentation.count
    outcome.bytes = sum(receipt.size for receipt in receipts.values())
    outcome.quarantined = Quarantine(dataset / WORK).reasons()


def tidy(dataset: Path) -> None:
    """Delete what only an unfinished run needs; what it was begun with stays, so that the same command knows it."""
    discard_staged(dataset / WORK / STAGED)
    for folder in (STAGED, VERDICTS):
        shutil.rmtree(dataset / WORK / folder, ignore_errors=True)


def is_committed(dataset: Path, shard: Shard) -> bool:
    """Whether the shard is done for this very content and its files are there; a damaged one is done again."""
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


def verdicts_path(dataset: Path, batch_file: str) -> Path:
    """Where the verdicts on a batch lie."""
    return dataset / WORK / VERDICTS / batch_file.replace("records", "verdicts")


def count_verdicts(table: Path) -> Counter[str]:
    """Accepted, and refused by reason."""
    import pyarrow.parquet as pq

    reasons = pq.read_table(table, columns=["reason"])["reason"].to_pylist()
    return Counter(reason or "accepted" for reason in reasons)


__all__ = ["CURATION_TABLE", "Outcome", "run"]
