"""Extension of a finished dataset by what its catalogs did not hold when it was made, in new rows behind the old ones.

The next version is a run of its own in the run's folder, which shares the finished shards and curates and simulates
only what is new. Until it is complete and verified, the dataset is the old one.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from catalogs.atomic_write import sha256_of, write_text
from catalogs.record import Record
from cluster.config import Profile
from curation.table import VERDICT_SCHEMA, concatenate, read_metadata
from datagen.config.config import DatagenConfig
from datagen.config.fingerprint import CurateJob, fingerprint_of, refuse_other_settings
from datagen.config.job import WORK
from datagen.errors import PlanError, StoreError
from datagen.followup.new_records import Known, new_records
from datagen.progress import Display
from datagen.run import CONFIG, Run, at_work, begin
from datagen.steps.accepted import MOST_REFLECTIONS, Accepted
from datagen.steps.curate import CRASHES, METADATA_KEY, TABLE, Summary, curate_locked
from datagen.steps.curate_on_cluster import ClusterCurator
from datagen.steps.curation_display import CurationDisplay
from datagen.steps.next_version import (
    NEW,
    NEXT,
    discard_next,
    mark_ready,
    move_next,
    next_version,
    share_shards,
)
from datagen.steps.outcome import Outcome
from datagen.steps.quarantine import FILE as QUARANTINE
from datagen.steps.shards import Shard
from datagen.steps.versions import FILE as VERSIONS
from datagen.steps.versions import Version, Versions, read_versions, write_versions
from datagen.store import files, ledger, reading
from datagen.store.bounded_table import CURATION_TABLE
from datagen.store.schema import Layout, sizes

BEFORE = "before.json"
"""Names the dataset that the next version extends, and the settings it was begun with."""
"""Folder, in the next version's run folder, of the curation of new records."""
MAY_DIFFER = ("catalog", "code")
"""Of a fingerprint: an extension reads other catalogs, possibly with newer code, which `versions` names."""


def extend(config: DatagenConfig, dataset: Path, *, profile: Profile, display: Display | None = None) -> Outcome:
    """Add what is new in the configuration's catalogs to the dataset, or resume an interrupted extension."""
    began = time.monotonic()
    display = display or Display()
    if not (dataset / WORK / CONFIG).exists():
        raise StoreError(f"{dataset}: expected a dataset that `datagen run` made, found none; make it without --extend")
    with at_work(config, dataset, profile, display) as (workers, lock):
        _refuse_unfit(config, dataset)
        folder = next_version(dataset)
        _begin_next(config, dataset, display)
        job = begin(config, folder)
        run = Extension(config, job, folder, workers, lock, display, Outcome(dataset), began, present=dataset)
        return run.make()


def _refuse_unfit(config: DatagenConfig, dataset: Path) -> None:
    """Refuse an unfinished dataset, and settings under which new rows would differ from old ones."""
    attributes = reading.read_attributes(dataset) if (dataset / "zarr.json").exists() else {}
    if not attributes.get("complete"):
        raise PlanError(f"{dataset}: is not finished; finish it first: re-run its command without --extend")
    then = json.loads((dataset / WORK / CONFIG).read_text(encoding="utf-8"))
    now = fingerprint_of(config)
    before, after = ({name: value for name, value in each.items() if name not in MAY_DIFFER} for each in (then, now))
    refuse_other_settings(before, after, dataset, "extend with the settings it was made with; only catalogs may differ")


def _begin_next(config: DatagenConfig, dataset: Path, display: Display) -> None:
    """Prepare the folder of the next version; what an extension with other settings began is discarded."""
    folder = next_version(dataset)
    about = {
        "frame_sha256": sha256_of(dataset / ledger.FOLDER / ledger.FRAME),
        "fingerprint": json.loads(files.to_json(fingerprint_of(config))),
    }
    path = dataset / WORK / NEXT / BEFORE
    if path.exists() and json.loads(path.read_bytes()) == about:
        return
    if path.exists():
        display.say("an extension with other catalogs was begun and not finished; it is discarded")
    discard_next(dataset)
    quarantine = dataset / WORK / QUARANTINE
    if quarantine.exists():
        files.write_bytes(folder / WORK / QUARANTINE, quarantine.read_bytes())
    files.write_bytes(path, files.to_json(about))


@dataclass(frozen=True)
class Extension(Run):
    """A run into the next version of a dataset: `dataset` is the next version, `present` the dataset itself."""

    present: Path = field(kw_only=True)

    def make(self) -> Outcome:
        """Take every step and put the next version in place; if nothing is new, only verify the dataset."""
        if not self.curate_new().n_records:
            return self.verify_present()
        return super().make()

    def curate_new(self) -> Summary:
        """Curate the records that the dataset does not have."""
        known = Known.of(self.present / WORK / TABLE)

        def choose(records: Iterator[Record]) -> Iterator[Record]:
            yield from new_records(records, known)
            for remark in known.remarks():
                self.display.say(remark)

        with CurationDisplay(self.display) as progress:
            summary = curate_locked(
                CurateJob.of(self.config), self.work / NEW, ClusterCurator(self.workers), self.lock, progress, choose
            )
        if summary.n_resumed < summary.n_records:
            self.display.say(f"curated: {summary.counts['accepted']:,} of {summary.n_records:,} new records accepted")
        return summary

    def curate(self) -> Summary:
        """Join the verdicts of the present version and those on new records."""
        began = time.monotonic()
        parts = [self.present / WORK / TABLE, self.work / NEW / TABLE]
        old, new = (json.loads(read_metadata(part)[METADATA_KEY]) for part in parts)
        counts = Counter(old["counts"]) + Counter(new["counts"])
        about = {
            **new,
            "n_records": old["n_records"] + new["n_records"],
            "counts": dict(counts.most_common()),
            "reasons": dict(sorted({**old["reasons"], **new["reasons"]}.items())),
        }
        table = self.work / TABLE
        concatenate(parts, table, VERDICT_SCHEMA.with_metadata({METADATA_KEY: json.dumps(about)}))
        crashes = [part.with_name(CRASHES) for part in parts if part.with_name(CRASHES).exists()]
        if crashes:
            write_text(self.work / CRASHES, "\n".join(path.read_text(encoding="utf-8") for path in crashes))
        n_records = about["n_records"]
        if not (self.work / VERSIONS).exists():
            self.begin_versions(old["n_records"], new["n_records"])
        return Summary(table, n_records, counts, n_records, time.monotonic() - began)

    def begin_versions(self, n_old: int, n_new: int) -> None:
        """Write the versions with the new one, whose structures are counted when they are planned."""
        layout = reading.read_layout(self.present)
        before = read_versions(self.present / WORK)
        if not before.versions:
            then = json.loads((self.present / WORK / CONFIG).read_text(encoding="utf-8"))
            first = Version(n_old, layout.n_structures, then["catalog"], then["code"])
            before = Versions((first,), layout.rows_per_label_file)
        now = fingerprint_of(self.config)
        new = Version(n_new, 0, now["catalog"], now["code"])
        write_versions(self.work, replace(before, versions=(*before.versions, new)))

    def initialise_store(self, accepted: Accepted, shards: list[Shard]) -> None:
        """Write the frame of the next version, and share the shards that it has in common with the present one."""
        layout = reading.read_layout(self.present)
        self.refuse_too_many_reflections(accepted, shards, layout)
        versions = read_versions(self.work)
        n_new = sum(len(shard.members) for shard in shards) - layout.n_structures
        last = replace(versions.versions[-1], n_structures=n_new)
        write_versions(self.work, replace(versions, versions=(*versions.versions[:-1], last)))
        super().initialise_store(accepted, shards)
        share_shards(self.present, range(layout.n_structures // layout.structures_per_shard))
        if layout.density_method is None and (
            given := sum(path is not None for path in accepted.column("density_path"))
        ):
            self.display.say(
                f"[yellow]{given:,} new structures have a density[/], which is left out: the dataset was made without "
                "any; make a new dataset to have them"
            )
        widths = reading.read_layout(self.dataset).text_bytes
        if wider := [name for name, width in widths.items() if width > layout.text_bytes[name]]:
            self.display.say(
                f"[yellow]{', '.join(wider)}: new values are longer than any before; programs that have the dataset "
                "open now must open it again[/]"
            )

    def refuse_too_many_reflections(self, accepted: Accepted, shards: list[Shard], layout: Layout) -> None:
        """Refuse structures whose reflections could exceed the room of a shard, which the first version decided."""
        room, bounds = sizes(layout)["reflection"], accepted.column(MOST_REFLECTIONS)
        for shard in shards:
            if shard.first_row + len(shard.members) <= layout.n_structures:
                continue
            most = sum(bounds[member] for member in shard.members)
            if most > room:
                raise PlanError(
                    f"{self.present}: its shards have room for {room:,} reflections, the new structures of shard "
                    f"{shard.index} may have {most:,}; make them a dataset of their own and join both with datagen "
                    "merge"
                )

    def tidy(self) -> None:
        """Put the verified next version in the place of the present one."""
        super().tidy()
        self.lock.check()
        mark_ready(self.present)
        move_next(self.present)
        n_new = read_versions(self.present / WORK).versions[-1].n_structures
        self.display.say(f"extended by {n_new:,} structures")

    def verify_present(self) -> Outcome:
        """Verify the dataset as it is, and return its numbers."""
        self.display.say("nothing to do: the catalogs hold no record that the dataset does not have")
        discard_next(self.present)
        self.workers.close()
        run = Run(self.config, self.job, self.present, self.workers, self.lock, self.display, self.outcome, self.began)
        table = pq.read_table(self.present / CURATION_TABLE, columns=["status", "reason"])
        run.outcome.counts = Counter(line["reason"] or line["status"] for line in table.to_pylist())
        run.count_what_is_made()
        run.check_and_report()
        self.outcome.seconds = time.monotonic() - self.began
        return self.outcome
