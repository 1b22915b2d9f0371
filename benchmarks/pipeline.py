"""Speed and size of a whole run, and the cost and gain of worker processes.

`python -m benchmarks.pipeline [CATALOG]` makes the same dataset three times in turn: in a plain loop of the same
functions (cluster kind `inline`), with one worker process and with two. Rates exclude the start of processes, which is
given separately, and include reading, finalising and verifying. The limits of the machine are measured as well: two
independent plain loops against one, and what a structure's patterns cost if nothing is done but to copy them once in
memory, compress them and take their checksum. The last line is JSON.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np

from benchmarks._data import shared_data
from cluster import dask_config
from cluster.config import InlineProfile, LocalProfile, Profile
from datagen.config.config import DatagenConfig, config_for_path
from datagen.inspect.estimate import estimate
from datagen.progress import Silence, duration
from datagen.run import run
from datagen.steps.outcome import Outcome
from datagen.store.reading import open_array
from datagen.store.shard_file import encode_chunk

ROUNDS = 2
PAPER_STRUCTURES = 312_267
READY_WITHIN_s = 600.0
LIMIT_SAMPLE = 100


def main() -> None:
    """Measure and print."""
    catalog = Path(sys.argv[1]) if len(sys.argv) > 1 else shared_data() / "structures" / "materials_project.zip"
    config = config_for_path(catalog)
    profiles: dict[str, Profile] = {
        "plain loop": InlineProfile(kind="inline"),
        "one worker": LocalProfile(workers=1),
        "two workers": LocalProfile(workers=2),
    }
    with tempfile.TemporaryDirectory() as scratch:
        compile_kernels(config, Path(scratch))
        outcomes: dict[str, list[Outcome]] = {name: [] for name in profiles}
        for turn in range(ROUNDS):
            for name, profile in profiles.items():
                outcome = run(config, Path(scratch) / f"{name} {turn}.zarr", profile=profile, display=Silence())
                outcomes[name].append(outcome)
                print(f"{name}: {working_seconds(outcome):.1f} s of work, {outcome.phase_seconds}", flush=True)
        ceiling = machine_ceiling(catalog, Path(scratch))
        floor_ms = storing_alone_ms(outcomes["plain loop"][0].dataset)
    plan_seconds = time_plan(config)
    report(outcomes, plan_seconds, ceiling, floor_ms)


def compile_kernels(config: DatagenConfig, scratch: Path) -> None:
    """Compile what is compiled once per machine, on the bundled examples."""
    examples = config_for_path(Path(__file__).parents[1] / "catalogs" / "examples" / "quartz.cif")
    run(examples, scratch / "warm.zarr", profile=InlineProfile(kind="inline"), display=Silence())


def working_seconds(outcome: Outcome) -> float:
    """Return the wall time of the run in s, without the start of worker processes."""
    return sum(outcome.phase_seconds.values()) - 2 * outcome.phase_seconds["start workers"]


def machine_ceiling(catalog: Path, scratch: Path) -> float:
    """Return the speed-up of two independent plain loops over one, the limit of the machine."""
    alone = median(side_by_side(catalog, scratch, 1) for _ in range(ROUNDS))
    together = median(side_by_side(catalog, scratch, 2) for _ in range(ROUNDS))
    print(f"plain loops side by side: one takes {alone:.1f} s, two take {together:.1f} s")
    return 2 * alone / together


def storing_alone_ms(dataset: Path) -> float:
    """Return the processor time in ms of copying, compressing and hashing one structure's patterns, of a sample."""
    stored = open_array(dataset, "pattern")
    rows = np.linspace(0, stored.shape[0] - 1, min(LIMIT_SAMPLE, stored.shape[0])).astype(int)
    patterns = [np.asarray(stored[row]) for row in rows.tolist()]
    began = time.process_time()
    for one in patterns:
        hashlib.sha256(encode_chunk(one.copy()))
    return 1e3 * (time.process_time() - began) / len(patterns)


def side_by_side(catalog: Path, scratch: Path, count: int) -> float:
    """Return the time in s until the last of n plain loops, each in its own process, has finished."""
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(count + 1)
    with patch.dict(os.environ, dask_config.SINGLE_THREADED | dask_config.KEEP_MEMORY):
        processes = [
            spawn.Process(target=plain_loop, args=(catalog, scratch / f"{count} side by side {i}", ready))
            for i in range(count)
        ]
        for process in processes:
            process.start()
    ready.wait(timeout=READY_WITHIN_s)
    began = time.perf_counter()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a plain loop ended with exit code {process.exitcode}")
    return time.perf_counter() - began


def plain_loop(catalog: Path, folder: Path, ready: Barrier) -> None:
    """Make the dataset in a child process, once all processes are ready."""
    config = config_for_path(catalog)
    with tempfile.TemporaryDirectory(prefix=folder.name, dir=folder.parent) as scratch:
        compile_kernels(config, Path(scratch))
        ready.wait(timeout=READY_WITHIN_s)
        run(config, Path(scratch) / "made.zarr", profile=InlineProfile(kind="inline"), display=Silence())


def time_plan(config: DatagenConfig) -> float:
    """Return the time in s of a plan of the paper's size takes."""
    began = time.perf_counter()
    found = estimate(config, display=Silence(), structures=PAPER_STRUCTURES)
    seconds = time.perf_counter() - began
    print(
        f"a plan of {found.n_structures:,} structures took {seconds:.1f} s: "
        f"{found.core_seconds / 3600:.1f} core-hours, {found.n_bytes / 1e9:.0f} GB, {found.n_files:,} files"
    )
    return seconds


def report(outcomes: dict[str, list[Outcome]], plan_seconds: float, ceiling: float, floor_ms: float) -> None:
    """Print a table, then the results as JSON."""
    one = outcomes["one worker"][0]
    seconds = {name: median(working_seconds(o) for o in found) for name, found in outcomes.items()}
    stages = one.stage_seconds
    total = sum(stages.values())
    print(f"{one.n_structures} structures, {one.n_patterns} patterns, {sum(one.counts.values())} records")
    for stage, spent in stages.items():
        print(f"  {stage:<10} {spent / total:6.1%} of the worker's time in shards")
    for name, spent in seconds.items():
        print(f"{name:<12} {duration(spent):>6}  {one.n_structures / spent:6.1f} structures/s")
    figures = {
        "structures_per_second_per_core": one.n_structures / seconds["one worker"],
        "patterns_per_second_per_core": one.n_patterns / seconds["one worker"],
        "bytes_per_pattern": one.bytes / one.n_patterns,
        "overhead": seconds["one worker"] / seconds["plain loop"] - 1,
        "scaling_two_workers": seconds["one worker"] / seconds["two workers"],
        "scaling_machine_ceiling": ceiling,
        "peak_memory_mb": max(o.peak_worker_memory_MB for found in outcomes.values() for o in found),
        "start_workers_seconds": one.phase_seconds["start workers"],
        "storing_alone_ms": floor_ms,
        "structure_ms": 1e3 * seconds["one worker"] / one.n_structures,
        "stage_share": {stage: spent / total for stage, spent in stages.items()},
        "plan_of_312267_seconds": plan_seconds,
    }
    print(json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}))


if __name__ == "__main__":
    main()
