"""The tasks of the workers: simulate, compress and commit a shard, or probe which of its structures ends a process."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.record import DensityRef
from curation.crystal import Crystal
from curation.sandbox import Limits, Sandbox, SandboxFailure
from datagen.config.job import WORK, Job, cached_job
from datagen.errors import DatagenError, EngineError, StoreError
from datagen.simulate import engine
from datagen.simulate.augmentation import draw
from datagen.simulate.density.make import make_density, refusal_variables
from datagen.simulate.reflections import crystal_reflections
from datagen.simulate.refusal import NoReflections, Unsimulable
from datagen.simulate.xrd_peaks import XrdPeaksRefusedError, xrd_peaks
from datagen.steps.accepted import Accepted
from datagen.steps.reasons import BY_FAILURE, FAILED
from datagen.steps.row import pattern_values, reflection_values
from datagen.steps.watchdog import time_limit
from datagen.store.density_codes import DensityRefused
from datagen.store.reading import read_layout
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter

ACCEPTED = "accepted.arrow"
STAGES = ("simulate", "reflections", "density", "xrd_peaks", "compress", "commit")
NOTES = ("density_refusals", "xrd_peaks_refusals")
"""Notes of a receipt on its rows: lists of [line of the table of verdicts, reason, detail]."""
MOST_QUARANTINED, LONGEST_DETAIL = 100, 400
"""Structures of a report that cannot be simulated, and characters of each detail."""
ROCK_SALT = Crystal.canonical(
    np.array([[0.0, 2.82, 2.82], [2.82, 0.0, 2.82], [2.82, 2.82, 0.0]]),
    ["Na", "Cl"],
    np.ones(2),
    np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
)


@dataclass(frozen=True)
class ShardOrder:
    """Argument of a task: dataset, shard and accepted structures."""

    dataset: str
    shard: int
    members: tuple[int, ...]
    key: str
    """Content key of its receipt."""
    job_key: str
    timed: bool = True
    """Whether the time limit may end the process; False if the task runs in the driver."""


@dataclass(frozen=True)
class ShardReport:
    """Result of a task; small, whatever the size of the shard."""

    shard: int
    committed: bool
    n_structures: int = 0
    n_patterns: int = 0
    bytes: int = 0
    seconds: float = 0.0
    stage_seconds: dict[str, float] | None = None
    quarantined: tuple[tuple[int, str, str], ...] = ()
    """(accepted structure, reason, detail) of those that cannot be simulated: the shard waits for its new plan."""
    peak_memory_MB: float = 0.0


def simulate_shard(order: ShardOrder) -> ShardReport:
    """Simulate, compress and commit one shard."""
    began = time.perf_counter()
    dataset = Path(order.dataset)
    job = cached_job(dataset, order.job_key)
    layout = read_layout(dataset)
    clock = StageClock()
    quarantined: list[tuple[int, str, str]] = []
    notes: dict[str, list[list[Any]]] = {name: [] for name in NOTES}
    warm_up(job)
    rows = _accepted(dataset).rows(order.members)
    with ShardWriter(dataset, layout, order.shard) as writer:
        for member, row in zip(order.members, rows, strict=True):
            try:
                with time_limit(job.run.structure_time_limit_s) if order.timed else nullcontext():
                    values, refusals = simulate_structure(row, job, layout, clock)
            except EngineError as broken:
                raise EngineError(f"{row['source_id']}: {broken}") from broken
            except (DatagenError, MemoryError, OSError):
                raise  # a fault of the machine or of memory, not yet of a structure
            except Unsimulable as refused:
                quarantined.append((member, refused.reason, str(refused)[:LONGEST_DETAIL]))
            except Exception as failure:  # noqa: BLE001 - quarantines this structure, with its reason in table and report
                quarantined.append((member, FAILED, f"{type(failure).__name__}: {failure}"[:LONGEST_DETAIL]))
            else:
                for name, why in refusals.items():
                    notes[name].append([int(row["table_row"]), *why])
                if not quarantined:
                    with clock.stage("compress"):
                        writer.add(values)
            if len(quarantined) == MOST_QUARANTINED:
                break  # a report stays small; the others are found when the new plan is made
        if quarantined:
            return ShardReport(order.shard, committed=False, quarantined=tuple(quarantined))
        with clock.stage("commit"):
            receipt = writer.commit(order.key, notes)
    return ShardReport(
        shard=order.shard,
        committed=True,
        n_structures=len(order.members),
        n_patterns=len(order.members) * layout.n_augmentations,
        bytes=receipt.size,
        seconds=time.perf_counter() - began,
        stage_seconds=clock.seconds,
        peak_memory_MB=_peak_memory_MB(),
    )


def simulate_structure(
    row: dict[str, Any], job: Job, layout: Layout, clock: StageClock
) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[str, str]]]:
    """Return the arrays of one structure, and reasons for missing densities and peaks by the names of `NOTES`."""
    crystal = Crystal.from_json(row["structure"])
    settings = job.simulation
    values: dict[str, NDArray[Any]] = {}
    if layout.with_patterns:
        with clock.stage("simulate"):
            numbers = np.arange(settings.augmentation.count)
            drawn = draw(settings.augmentation, settings.seed, row["structure_hash"], numbers)
            patterns = engine(settings.engine)(crystal, settings.instrument, drawn)
        with clock.stage("compress"):
            values = pattern_values(patterns, drawn, layout, crystal)
    with clock.stage("reflections"):
        reflections = crystal_reflections(crystal, job.d_min_A, job.dispersion_wavelengths_A)
        if not len(reflections):
            raise NoReflections(f"no reflection with d of {job.d_min_A:g} A or more")
        values |= reflection_values(reflections, layout)
    refusals: dict[str, tuple[str, str]] = {}
    has_density = False
    if layout.density_method is not None:
        with clock.stage("density"):
            ref = None if job.density.method == "independent_atoms" else density_ref(row)
            try:
                values |= make_density(ref, crystal, job.density).variables()
                has_density = True
            except DensityRefused as refused:
                values |= refusal_variables(refused)
                if refused.code != "none_given":
                    refusals["density_refusals"] = (refused.code, refused.detail)
    if layout.with_xrd_peaks and (job.store.xrd_peaks == "all" or has_density):
        with clock.stage("xrd_peaks"):
            try:
                values["xrd_peaks"] = xrd_peaks(crystal)
            except XrdPeaksRefusedError as refused:
                refusals["xrd_peaks_refusals"] = (refused.reason, refused.detail)
    return values, refusals


@cache
def warm_up(job: Job) -> None:
    """Load and compile the engine once in each process, so that it does not count as a structure's time.

    Raises EngineError if the engine is missing.
    """
    settings = job.simulation
    crystal_reflections(ROCK_SALT, 1.0, job.dispersion_wavelengths_A)
    if job.store.patterns == "none":
        return
    drawn = draw(settings.augmentation, settings.seed, ROCK_SALT.structure_hash(), np.arange(1))
    with suppress(Unsimulable):  # the range of angles depends on this instrument
        engine(settings.engine)(ROCK_SALT, settings.instrument, drawn)


def prepare(job: tuple[str, str]) -> None:
    """Warm up for a dataset and the key of its job."""
    dataset, key = job
    warm_up(cached_job(Path(dataset), key))


def probe_shard(order: ShardOrder) -> ShardReport:
    """Simulate each structure of a shard in a sandbox to find those that end it; write nothing."""
    job = cached_job(Path(order.dataset), order.job_key)
    limits = Limits(seconds=job.run.structure_time_limit_s)
    settings = {"dataset": order.dataset, "job_key": order.job_key}
    found: list[tuple[int, str, str]] = []
    with Sandbox("datagen.steps.shard_task:prober", settings, limits) as sandbox:
        for member in order.members:
            outcome = sandbox.call(member)
            if isinstance(outcome, SandboxFailure):
                found.append((member, BY_FAILURE[outcome.reason], outcome.detail[:LONGEST_DETAIL]))
                if len(found) == MOST_QUARANTINED:
                    break
    return ShardReport(order.shard, committed=False, quarantined=tuple(found))


def prober(settings: dict[str, str]) -> Any:
    """Return the function that the sandbox calls: simulate one accepted structure and discard the result."""
    dataset = Path(settings["dataset"])
    job = cached_job(dataset, settings["job_key"])
    layout = read_layout(dataset)
    warm_up(job)

    def probe(member: int) -> bool:
        try:
            simulate_structure(next(_accepted(dataset).rows([member])), job, layout, StageClock())
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the process survives; the task of the shard reports the error
            return False
        return True

    return probe


def density_ref(row: dict[str, Any]) -> DensityRef | None:
    """Return the place of the row's density; it existed when the catalog was read, so its absence now is an error."""
    if row["density_path"] is None:
        return None
    path = Path(row["density_path"])
    if not path.is_file():
        raise StoreError(
            f"{path}: the density of {row['source_id']} was there when the catalogs were read and is missing now; "
            "restore the file or mount its file system, and re-run the same command"
        )
    return DensityRef(path, row["density_format"], row["density_member"])


class StageClock:
    """Sums of the time spent in each stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._stage = ""
        self._began = 0.0

    def stage(self, name: str) -> StageClock:
        """Time a stage in a `with` statement."""
        self._stage = name
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self._stage] += time.perf_counter() - self._began


def _accepted(dataset: Path) -> Accepted:
    path = dataset / WORK / ACCEPTED
    return _mapped(path, path.stat().st_ino)


@lru_cache(maxsize=1)
def _mapped(path: Path, inode: int) -> Accepted:
    """Return one map per process; the file is replaced, never changed, so the inode identifies its content."""
    del inode
    return Accepted(path)


def _peak_memory_MB() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
