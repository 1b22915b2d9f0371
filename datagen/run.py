"""From a configuration to a finished dataset: load, plan, curate, simulate shards, finalise, verify, report."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from cluster.config import Profile
from datagen.config.config import DatagenConfig
from datagen.config.fingerprint import CurateJob, attributes_of, fingerprint_of, job_of, refuse_other_settings
from datagen.config.job import WORK, Job, write_job
from datagen.errors import PlanError, StoreError
from datagen.inspect.report import REPORT, draw_report, write_report
from datagen.inspect.verify import verify
from datagen.progress import Display
from datagen.steps.accepted import Accepted, write_accepted
from datagen.steps.curate import TABLE, UNFINISHED, curate_locked
from datagen.steps.curate_on_cluster import ClusterJudge
from datagen.steps.curation_display import CurationDisplay
from datagen.steps.disk_space import check_room, least_bytes
from datagen.steps.layout import files_of, layout_for
from datagen.steps.make_shards import ShardMaker
from datagen.steps.outcome import Outcome
from datagen.steps.quarantine import Quarantine
from datagen.steps.run_log import run_log
from datagen.steps.shard_task import ACCEPTED, prepare, warm_up
from datagen.steps.shards import Shard, cut_shards, fill_holes, shard_length
from datagen.steps.staging import read_staged
from datagen.steps.structures_table import CURATION_TABLE, write_structures_table
from datagen.steps.workers import Workers
from datagen.store import files, ledger, zarr_store
from datagen.store.confined import refuse_links_out
from datagen.store.lock import Lock, locked

CONFIG = "config.json"


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
        stack.enter_context(run_log(dataset / WORK))
        job = begin(config, dataset)
        with outcome.timed("curate"):
            curate(config, dataset, workers, lock, outcome, display)
        with outcome.timed("simulate"):
            plan = simulate(config, job, dataset, workers, lock, outcome, display)
        workers.close()
        outcome.phase_seconds["start workers"] = workers.seconds_to_start
        with outcome.timed("finalise"):
            finalise(job, dataset, plan, outcome)
        check_and_report(config, dataset, outcome, began, display)
        tidy(dataset)
        outcome.seconds = time.monotonic() - began
    return outcome


def curate(
    config: DatagenConfig, dataset: Path, workers: Workers, lock: Lock, outcome: Outcome, display: Display
) -> None:
    """Stage every record, judge every batch, join the verdicts into one table."""
    work = dataset / WORK
    with CurationDisplay(display) as progress:
        summary = curate_locked(CurateJob.of(config), work, ClusterJudge(workers), lock, progress)
    outcome.counts.update(summary.counts)
    if summary.n_records == 0:
        (work / TABLE).unlink()  # an empty listing binds nobody: the same command looks again
        names = ", ".join(c.name for c in config.catalog)
        raise PlanError(f"the catalogs ({names}) hold no CIF at all; check their paths and give the command again")
    if summary.n_resumed < summary.n_records:
        display.say(f"curated: {summary.counts['accepted']:,} of {summary.n_records:,} records accepted")


def refuse_foreign(dataset: Path) -> None:
    """Never scatter a dataset among somebody's other files: the place is new, empty, or a dataset's already."""
    refuse_links_out(dataset)
    if (dataset / "zarr.json").exists():
        if "derived_from" in zarr_store.read_attributes(dataset):
            raise StoreError(
                f"{dataset}: expected a new place or a dataset that `datagen run` began, found one made of others by "
                "subset, merge or publish; choose another place with --out"
            )
    elif dataset.is_dir() and not (dataset / WORK).is_dir() and (other := sorted(p.name for p in dataset.iterdir())):
        raise StoreError(
            f"{dataset}: holds other files ({', '.join(other[:3])}{', ...' if len(other) > 3 else ''}); "
            "choose a new or empty folder with --out"
        )


def begin(config: DatagenConfig, dataset: Path) -> Job:
    """Record the settings of the run, or refuse if the dataset was begun with others."""
    now = fingerprint_of(config)
    path = dataset / WORK / CONFIG
    if path.exists() and anything_done(dataset):
        refuse_other_settings(json.loads(path.read_text(encoding="utf-8")), now, dataset)
    else:
        files.write_bytes(path, files.to_json(now))
    job = job_of(config)
    write_job(dataset, job)
    return job


def anything_done(dataset: Path) -> bool:
    """Return whether an earlier run read its catalogs; if not, its settings do not matter."""
    work = dataset / WORK
    return (work / TABLE).exists() or (dataset / "zarr.json").exists() or read_staged(work / UNFINISHED) is not None


@dataclass(frozen=True)
class Plan:
    """What goes where, after everything that cannot be simulated was set aside."""

    accepted: Accepted
    shards: list[Shard]
    duplicates: dict[int, int]
    """Line of the verdicts -> line that stands for the same structure."""


def simulate(
    config: DatagenConfig, job: Job, dataset: Path, workers: Workers, lock: Lock, outcome: Outcome, display: Display
) -> Plan:
    """Make every shard of the plan; whenever a structure proves impossible, set it aside and plan anew."""
    work = dataset / WORK
    workers.prepare(prepare, (str(dataset.absolute()), job.key()))
    duplicates = write_accepted(work / TABLE, work / ACCEPTED, drop_duplicates=config.store.duplicates == "drop")
    accepted = Accepted(work / ACCEPTED)
    if not len(accepted):
        raise PlanError(
            f"{dataset}: none of {outcome.counts.total():,} records was accepted ({counted(outcome.counts)}): there is "
            f"nothing to simulate; `datagen explain ID --dataset {work}` tells what each check saw"
        )
    outcome.n_duplicates = len(duplicates)
    asked = [c.name for c in config.catalog if getattr(c, "density", None)]
    if asked and not any(accepted.column("density_path")):
        display.say(
            f"[yellow]no density was found[/] for any structure of {escape(', '.join(asked))}: look at `density`"
        )
    quarantine = Quarantine(work)
    while True:
        shards = plan_shards(job, accepted, quarantine)
        initialise_store(config, job, dataset, accepted, shards)
        timed = workers.kind != "inline"
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
        text_bytes=zarr_store.text_bytes(labels),
    )
    check_room(files_of(layout), least_bytes(layout), dataset, job.store.max_files)
    zarr_store.create(dataset, layout, labels, job.simulation.instrument.two_theta_deg, attributes_of(config))


def finalise(job: Job, dataset: Path, plan: Plan, outcome: Outcome) -> None:
    """Count the receipts against the plan, publish the table of verdicts, mark the dataset complete."""
    work = dataset / WORK
    outcome.counts = write_structures_table(dataset, work / TABLE, plan.accepted, plan.shards, plan.duplicates, work)
    frame = ledger.read_frame(dataset) or {}
    ledger.write_frame(dataset, {**frame, CURATION_TABLE: ledger.entry_of((dataset / CURATION_TABLE).read_bytes())})
    zarr_store.finalise(dataset, {}, [shard.key for shard in plan.shards])
    receipts = ledger.committed(dataset).values()
    outcome.n_structures = sum(receipt.n_structures for receipt in receipts)
    outcome.n_densities = sum(receipt.n_densities for receipt in receipts)
    outcome.n_patterns = outcome.n_structures * job.simulation.augmentation.count
    outcome.bytes = sum(receipt.size for receipt in receipts)
    outcome.set_aside = Quarantine(work).reasons()


def check_and_report(config: DatagenConfig, dataset: Path, outcome: Outcome, began: float, display: Display) -> None:
    """Verify the dataset while its report is drawn; the page appears when all was found good."""
    wanted = outcome.n_patterns_now or not (dataset / REPORT).exists()  # else the timings it shows would be lost
    with ThreadPoolExecutor(1) as beside:
        drawn = beside.submit(draw_report, dataset) if wanted else None
        with outcome.timed("verify"):
            verify(dataset, sample=config.run.verify_sample, display=display)
        outcome.seconds = time.monotonic() - began
        with outcome.timed("report"):
            if drawn is not None:
                with display.phase("report", None, ""):
                    write_report(dataset, outcome, drawn.result())


def counted(counts: Counter[str]) -> str:
    """Reasons with their numbers, the commonest first."""
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common())


def tidy(dataset: Path) -> None:
    """Delete what only an unfinished run needs; what it was begun with stays, so that the same command knows it."""
    shutil.rmtree(dataset / WORK / UNFINISHED, ignore_errors=True)
