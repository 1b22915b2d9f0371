"""From a configuration to a finished dataset: begin, curate, simulate, finalise, verify, report.

Everything between `begin` and `finalise` can be killed at any time and repeated: each step leaves complete files or
none, and a finished step is recognised by its files.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from cluster.config import Profile
from datagen.config.config import DatagenConfig
from datagen.config.fingerprint import CurateJob, attributes_of, fingerprint_of, job_of, refuse_other_settings
from datagen.config.job import WORK, Job, write_job
from datagen.errors import PlanError, StoreError
from datagen.inspect.report import REPORT, draw_report, write_report
from datagen.inspect.verify import verify
from datagen.progress import Display
from datagen.simulate.phase_library import BUNDLED, LIBRARY_FILE, library_bytes
from datagen.steps.accepted import MOST_REFLECTIONS, Accepted, write_accepted
from datagen.steps.curate import TABLE, UNFINISHED, Summary, curate_locked
from datagen.steps.curate_on_cluster import ClusterCurator
from datagen.steps.curation_display import CurationDisplay
from datagen.steps.disk_space import check_disk_space, least_bytes
from datagen.steps.layout import files_of, layout_for
from datagen.steps.make_shards import ShardMaker
from datagen.steps.monitor import monitored
from datagen.steps.next_version import is_ready, move_next
from datagen.steps.outcome import Outcome
from datagen.steps.quarantine import Quarantine
from datagen.steps.run_log import run_log
from datagen.steps.shard_task import ACCEPTED, prepare, warm_up
from datagen.steps.shards import Shard, cut_shards, fill_holes, shard_length
from datagen.steps.staging import read_staged
from datagen.steps.structures_table import write_structures_table
from datagen.steps.versions import read_versions
from datagen.steps.workers import Workers
from datagen.store import files, ledger, reading, zarr_store
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.confined import refuse_links_out
from datagen.store.lock import Lock, locked

CONFIG = "config.json"


def run(
    config: DatagenConfig, dataset: Path, *, profile: Profile | None = None, display: Display | None = None
) -> Outcome:
    """Make the dataset, or resume an interrupted run; a complete dataset is verified and left as it is."""
    began = time.monotonic()
    display = display or Display()
    with at_work(config, dataset, profile or config.cluster.choose(), display) as (workers, lock):
        job = begin(config, dataset)
        return Run(config, job, dataset, workers, lock, display, Outcome(dataset), began).make()


@contextmanager
def at_work(config: DatagenConfig, dataset: Path, profile: Profile, display: Display) -> Iterator[tuple[Workers, Lock]]:
    """Hold the dataset's lock, with workers at hand, its log and its monitor; complete an extension's move."""
    with ExitStack() as stack:
        workers = stack.enter_context(Workers(profile, display))
        refuse_foreign(dataset)
        if config.simulation.engine != "native":
            warm_up(job_of(config))  # fail before hours of curation if the engine is not installed
        stack.enter_context(files.disk_errors_explained(dataset))
        lock = stack.enter_context(locked(dataset / WORK))
        stack.callback(workers.close)  # before the lock is released: no task may write after that
        stack.enter_context(run_log(dataset / WORK))
        stack.enter_context(
            monitored(display, dataset, dataset / WORK, events=config.run.events, metrics=config.run.metrics)
        )
        if is_ready(dataset):
            display.say("completing an interrupted extension")
            move_next(dataset)
        yield workers, lock


def refuse_foreign(dataset: Path) -> None:
    """Refuse unless the folder is new, empty or a dataset that `datagen run` began."""
    refuse_links_out(dataset)
    if (dataset / "zarr.json").exists():
        if "derived_from" in reading.read_attributes(dataset):
            raise StoreError(
                f"{dataset}: expected a new folder or a dataset that `datagen run` began, found one made by subset, "
                "merge or publish; choose another folder with --out"
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
    """Rows and shards of the dataset, without the structures that cannot be simulated."""

    accepted: Accepted
    shards: list[Shard]
    duplicates: dict[int, int]
    """Line of the verdicts -> line of the structure that it duplicates."""


@dataclass(frozen=True)
class Run:
    """One run of one configuration into one dataset, whose lock it holds."""

    config: DatagenConfig
    job: Job
    dataset: Path
    workers: Workers
    lock: Lock
    display: Display
    outcome: Outcome
    began: float
    """Of the clock `time.monotonic`."""

    @property
    def work(self) -> Path:
        """Folder of what only the run itself needs."""
        return self.dataset / WORK

    def make(self) -> Outcome:
        """Take every step, and return what was made in numbers."""
        outcome = self.outcome
        with outcome.timed("curate"):
            summary = self.curate()
            outcome.counts, outcome.excluded = summary.counts, summary.excluded
        with outcome.timed("simulate"):
            plan = self.simulate()
        self.workers.close()
        outcome.phase_seconds["start workers"] = self.workers.seconds_to_start
        with outcome.timed("finalise"):
            self.finalise(plan)
        self.check_and_report()
        self.tidy()
        outcome.seconds = time.monotonic() - self.began
        return outcome

    def curate(self) -> Summary:
        """Stage every record, curate every batch, join the verdicts into one table."""
        with CurationDisplay(self.display) as progress:
            summary = curate_locked(
                CurateJob.of(self.config), self.work, ClusterCurator(self.workers), self.lock, progress
            )
        if summary.n_records == 0:
            # Do not freeze the settings, so that a re-run lists the catalogs again.
            (self.work / TABLE).unlink()
            names = ", ".join(catalog.name for catalog in self.config.catalog)
            if summary.excluded.records:
                raise PlanError(f"the catalogs ({names}) hold no record that meets `where`: {summary.excluded}")
            raise PlanError(f"the catalogs ({names}) hold no structure; check their paths and re-run the same command")
        if summary.n_resumed < summary.n_records:
            self.display.say(f"curated: {summary.counts['accepted']:,} of {summary.n_records:,} records accepted")
        return summary

    def simulate(self) -> Plan:
        """Make every shard; structures that prove impossible are quarantined, and the rest is planned again."""
        self.workers.prepare(prepare, (str(self.dataset.absolute()), self.job.key()))
        accepted, duplicates = self.accepted()
        quarantine = Quarantine(self.work)
        while True:
            shards = self.plan_shards(accepted, quarantine)
            self.initialise_store(accepted, shards)
            maker = ShardMaker(
                self.job,
                self.dataset,
                accepted,
                shards,
                quarantine,
                self.lock,
                self.outcome,
                self.display,
                timed=self.workers.kind != "inline",
            )
            if not maker.make(self.workers):
                return Plan(accepted, shards, duplicates)

    def accepted(self) -> tuple[Accepted, dict[int, int]]:
        """Return the structures to simulate, and the duplicates left out."""
        duplicates = write_accepted(
            self.work / TABLE,
            self.work / ACCEPTED,
            self.job.d_min_A,
            drop_duplicates=self.config.store.duplicates == "drop",
            first_lines=read_versions(self.work).first_lines,
        )
        accepted = Accepted(self.work / ACCEPTED)
        if not len(accepted):
            counts = self.outcome.counts
            raise PlanError(
                f"{self.dataset}: none of {counts.total():,} records was accepted ({counted(counts)}); "
                f"`datagen explain ID --dataset {self.work}` shows every check of one"
            )
        self.outcome.n_duplicates = len(duplicates)
        asked = [catalog.name for catalog in self.config.catalog if getattr(catalog, "density", None)]
        if asked and not any(accepted.column("density_path")):
            names = escape(", ".join(asked))
            self.display.say(f"[yellow]no density was found[/] for any structure of {names}: check `density`")
        return accepted, duplicates

    def plan_shards(self, accepted: Accepted, quarantine: Quarantine) -> list[Shard]:
        """Return the shards of everything accepted and not quarantined."""
        hashes = accepted.column("structure_hash")
        quarantined = [i for i, h in enumerate(hashes) if h in quarantine]
        order = [i for part in self.by_version(accepted) for i in fill_holes(part, quarantined)]
        if not order:
            reasons = counted(Counter(reason for _, reason in quarantine.reasons()))
            raise PlanError(
                f"{self.dataset}: all {len(hashes):,} accepted structures are quarantined ({reasons}), no pattern "
                "is left; see `datagen reasons`, and retry them with `datagen retry`"
            )
        return cut_shards(order, hashes, self.shard_length(accepted), self.job.key())

    def by_version(self, accepted: Accepted) -> list[range]:
        """Return the accepted structures of each version of the dataset; all of one that was never extended."""
        return accepted.by_version(read_versions(self.work).first_lines)

    def shard_length(self, accepted: Accepted) -> int:
        """Return the number of structures in a shard, which the first version decides."""
        return shard_length(len(self.by_version(accepted)[0]), self.job.store.structures_per_shard)

    def initialise_store(self, accepted: Accepted, shards: list[Shard]) -> None:
        """Write the dataset's frame: metadata, coordinates and all labels."""
        order = [member for shard in shards for member in shard.members]
        labels = accepted.labels(order)
        first = self.by_version(accepted)[0]
        layout = layout_for(
            self.job,
            accepted.column(MOST_REFLECTIONS)[: first.stop],
            n_structures=len(order),
            structures_per_shard=self.shard_length(accepted),
            any_density=any(accepted.column("density_path")[: first.stop]),
            text_bytes=zarr_store.text_bytes(labels),
            label_rows=read_versions(self.work).label_rows,
        )
        needed = max(least_bytes(layout) - bytes_made(self.dataset), 0)
        check_disk_space(files_of(layout), needed, self.dataset, self.job.store.max_files)
        angles = self.job.simulation.instrument.two_theta_deg
        zarr_store.create(self.dataset, layout, labels, angles, self.attributes())

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the dataset."""
        return {**attributes_of(self.config), **read_versions(self.work).attributes()}

    def finalise(self, plan: Plan) -> None:
        """Count the receipts against the plan, publish the table of verdicts, mark the dataset complete."""
        outcome = self.outcome
        table = self.work / TABLE
        outcome.counts = write_structures_table(
            self.dataset, table, plan.accepted, plan.shards, plan.duplicates, self.work
        )
        frame = ledger.read_frame(self.dataset) or {}
        kept = [CURATION_TABLE]
        library = self.job.simulation.augmentation.phase_library
        if library != BUNDLED:
            kept.append(LIBRARY_FILE)
            files.write_bytes(self.dataset / LIBRARY_FILE, library_bytes(library))
        entries = {name: ledger.entry_of_file(self.dataset / name) for name in kept}
        ledger.write_frame(self.dataset, {**frame, **entries})
        zarr_store.finalise(self.dataset, {}, [shard.key for shard in plan.shards])
        self.count_what_is_made()

    def count_what_is_made(self) -> None:
        """Put the numbers of the receipts into the outcome."""
        outcome = self.outcome
        receipts = ledger.committed(self.dataset).values()
        outcome.n_structures = sum(receipt.n_structures for receipt in receipts)
        outcome.n_densities = sum(receipt.n_densities for receipt in receipts)
        per_structure = self.job.simulation.augmentation.count if self.job.store.patterns == "all" else 0
        outcome.n_patterns = outcome.n_structures * per_structure
        outcome.bytes = sum(receipt.size for receipt in receipts)
        outcome.set_aside = Quarantine(self.work).reasons()

    def check_and_report(self) -> None:
        """Verify the dataset while its report is drawn; the page is written once everything was found good."""
        outcome, dataset = self.outcome, self.dataset
        # A report of a run that made nothing would lose the timings that the present one shows.
        wanted = outcome.n_structures_now or not (dataset / REPORT).exists()
        with ThreadPoolExecutor(1) as beside:
            drawn = beside.submit(draw_report, dataset) if wanted else None
            with outcome.timed("verify"):
                verify(dataset, sample=self.config.run.verify_sample, display=self.display)
            outcome.seconds = time.monotonic() - self.began
            with outcome.timed("report"):
                if drawn is not None:
                    with self.display.phase("report", None, ""):
                        write_report(dataset, outcome, drawn.result())

    def tidy(self) -> None:
        """Delete what only an unfinished run needs; the settings stay, so that a re-run recognises the dataset."""
        shutil.rmtree(self.work / UNFINISHED, ignore_errors=True)
        (self.work / ACCEPTED).unlink(missing_ok=True)


def counted(counts: Counter[str]) -> str:
    """Return reasons with their numbers, the commonest first."""
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common())


def bytes_made(dataset: Path) -> int:
    """Return the bytes of committed shards; 0 if a receipt is damaged, which `is_committed` then revokes."""
    try:
        return sum(receipt.size for receipt in ledger.committed(dataset).values())
    except StoreError:
        return 0
