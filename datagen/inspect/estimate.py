"""Estimate of a run from a sample: structures, bytes, files, core-hours and memory."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from catalogs.config import GeneratedCatalog
from catalogs.open import open_catalogs
from catalogs.record import Record
from cluster.config import Profile
from curation.batch import FACTORY
from curation.sandbox import Sandbox, SandboxFailure
from curation.sandbox_meter import resident_bytes
from curation.table import record_to_row
from curation.verdict import Verdict
from datagen.config.config import DatagenConfig
from datagen.config.fingerprint import job_of
from datagen.errors import DatagenError, PlanError
from datagen.progress import Display
from datagen.steps.labels import most_reflections
from datagen.steps.layout import files_of, layout_for
from datagen.steps.shard_task import STAGES, StageClock, simulate_structure, warm_up
from datagen.steps.shards import shard_length
from datagen.store.schema import Layout, file_shape, variables
from datagen.store.shard_file import encode_chunk

SAMPLE = 48
READ_FOR_SAMPLE = 4096
"""Records looked at when the whole number is given: the sample comes from these."""
DRIVER_bytes, DRIVER_PER_RECORD_bytes = 0.5e9, 1400.0
"""Memory of the driver: libraries and report, and what it keeps of each record (docs/scale.md)."""
WORKER_MORE_bytes = 0.15e9
"""What a worker takes beyond this process and a shard's arrays: Dask, and patterns before they are compressed; found
in the same runs."""


@dataclass
class Estimate:
    """The cost of a run, extrapolated from a sample."""

    n_records: int
    sample: int
    accepted_share: float
    n_structures: int
    n_patterns: int
    n_shards: int
    n_files: int
    n_bytes: float
    n_work_bytes: float
    driver_bytes: float = 0.0
    """Memory of the process that plans and watches; it also verifies and writes the report."""
    worker_bytes: float = 0.0
    sandbox_bytes: float = 0.0
    """Of the process beside each worker in which structures are curated."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Core-seconds by stage for the whole run."""

    @property
    def core_seconds(self) -> float:
        """All stages together."""
        return sum(self.stage_seconds.values())

    def workers(self, profile: Profile) -> int:
        """Worker processes of this cluster, as far as its profile tells."""
        from curation.cores import usable_cores

        asked = getattr(profile, "workers", None)
        return int(asked) if asked else usable_cores() if profile.kind == "local" else 1


def estimate(config: DatagenConfig, *, display: Display, structures: int | None = None) -> Estimate:
    """Read the catalogs, curate and simulate a random sample, and extrapolate."""
    warm_up(job_of(config))  # an engine that is missing is said before the catalogs are read
    records: Iterable[Record] = open_catalogs(list(config.catalog))
    n_known = _number_known(config)
    if structures is not None or n_known is not None:
        records = islice(records, READ_FOR_SAMPLE)
    sample, n_read, n_text = _sample(records, display)
    if not sample:
        names = ", ".join(c.name for c in config.catalog)
        raise PlanError(f"the catalogs ({names}) hold no structure, or none that meets `where`; check them")
    seconds = dict.fromkeys(("curate", *STAGES), 0.0)
    with display.phase("measure", len(sample), "sample structures"):
        verdicts, sandbox_bytes = _curate(sample, config, seconds)
        accepted = [v for v in verdicts if v.accepted]
        n_bytes, n_simulated = _simulate(accepted, config, seconds, display)
    share = n_simulated / len(sample)
    n_records = n_read if n_known is None else n_known
    if structures is not None and share:
        n_records = round(structures / share)
    n_structures = round(n_records * share)
    scale = n_records / len(sample)
    layout = _layout(config, accepted, max(n_structures, 1))
    return Estimate(
        n_records=n_records,
        sample=len(sample),
        accepted_share=share,
        n_structures=n_structures,
        n_patterns=n_structures * layout.n_augmentations,
        n_shards=layout.n_shards,
        n_files=files_of(layout),
        n_bytes=n_bytes * scale,
        driver_bytes=DRIVER_bytes + DRIVER_PER_RECORD_bytes * n_records,
        worker_bytes=resident_bytes() + _shard_bytes(layout) + WORKER_MORE_bytes,
        sandbox_bytes=sandbox_bytes,
        n_work_bytes=n_text / max(n_read, 1) * n_records / 3 + 4000.0 * n_structures,
        stage_seconds={name: s * scale for name, s in seconds.items()},
    )


def _number_known(config: DatagenConfig) -> int | None:
    """Return the number of records of one catalog of generated crystals: its first are a sample of all."""
    catalog = config.catalog[0]
    if len(config.catalog) > 1 or not isinstance(catalog, GeneratedCatalog) or catalog.where or catalog.from_list:
        return None
    return min(catalog.count, catalog.limit or catalog.count)


def _sample(records: Iterable[Record], display: Display) -> tuple[list[Record], int, int]:
    """Return a uniform sample taken in one pass (algorithm R), the number of records, and their text in bytes."""
    chance = random.Random(0)  # noqa: S311 - which records are measured is no secret
    kept: list[Record] = []
    count = text = 0
    with display.phase("read", None, "records"):
        for record in records:
            count += 1
            text += len(record.text)
            display.advance(count)
            if len(kept) < SAMPLE:
                kept.append(record)
            elif (place := chance.randrange(count)) < SAMPLE:
                kept[place] = record
    return kept, count, text


def _curate(sample: list[Record], config: DatagenConfig, seconds: dict[str, float]) -> tuple[list[Verdict], float]:
    """Return the verdicts, and the memory of the sandbox."""
    verdicts = []
    with Sandbox(FACTORY, config.curation.model_dump(mode="json"), config.limits) as sandbox:
        sandbox.start()
        for record in sample:
            if record.defect is not None:
                continue
            began = time.perf_counter()
            answer = sandbox.call(record_to_row(record))
            seconds["curate"] += time.perf_counter() - began
            if not isinstance(answer, SandboxFailure):
                verdicts.append(Verdict.from_row(answer))
        return verdicts, sandbox.resident_bytes()


def _simulate(
    accepted: list[Verdict], config: DatagenConfig, seconds: dict[str, float], display: Display
) -> tuple[float, int]:
    """Bytes that these structures take in all, and how many of them can be simulated."""
    if not accepted:
        return 0.0, 0
    job = job_of(config)
    layout = _layout(config, accepted, len(accepted))
    clock = StageClock()
    n_bytes, n_simulated = 0.0, 0
    for verdict in accepted:
        try:
            values, _ = simulate_structure(verdict.to_row(), job, layout, clock)
        except (DatagenError, MemoryError):
            raise
        except Exception:  # noqa: BLE001, S112 - the run quarantines it with a reason
            continue
        with clock.stage("compress"):
            n_bytes += sum(len(encode_chunk(value)) for value in values.values())
        n_simulated += 1
        display.advance(n_simulated)
    for stage, spent in clock.seconds.items():
        seconds[stage] += spent
    return n_bytes, n_simulated


def _shard_bytes(layout: Layout) -> float:
    """Return the memory of the arrays of a shard that a worker keeps until it is complete."""
    small = [v for v in variables(layout) if v.home == "shard" and v.chunk is None]
    return sum(math.prod(file_shape(v, layout)) * np.dtype(v.dtype).itemsize for v in small)


def _layout(config: DatagenConfig, accepted: list[Verdict], n_structures: int) -> Layout:
    job = job_of(config)
    return layout_for(
        job,
        (most_reflections(verdict.crystal, job.d_min_A) for verdict in accepted),
        n_structures=n_structures,
        structures_per_shard=shard_length(n_structures, config.store.structures_per_shard),
        any_density=any(verdict.density is not None for verdict in accepted),
    )
