"""A run of the paper's size on one machine: seconds, memory, files and bytes of every phase, interrupted twice.

`python -m benchmarks.scale --structures 312267 --patterns 10` makes a table of scaled copies of the Materials Project
archive (with `--generated` it takes crystals of the catalog `generated`), runs `datagen run` on it in a process of its
own, interrupts it twice and resumes it, then times what users do with the result. `--patterns 0` keeps reflections
alone. Memory is that of the driver's process and of the largest worker, as the run itself reports; processor time is
that of all processes of the run, which other programs on the machine change less than they change seconds. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._data import shared_data

STEP = 2e-4
"""Relative difference of the cell edges of two copies: enough that no two are duplicates."""
INTERRUPTED_AT = ("curate", "simulate")
POLL_s = 0.5
AT_ONCE = 2048
EDGE = re.compile(r"^(_cell_length_[abc]\s+)([0-9.]+)", re.MULTILINE)


def main() -> None:
    """Make the table, run, interrupt, resume, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=312_267)
    parser.add_argument("--patterns", type=int, default=10)
    parser.add_argument("--points", type=int, default=8192)
    parser.add_argument("--generated", action="store_true", help="generated crystals instead of scaled copies")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for table and dataset, kept; by default a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        catalog = folder / ("generated.toml" if given.generated else "structures.parquet")
        if given.generated:
            catalog.write_text(f'[[catalog]]\nkind = "generated"\ncount = {given.structures}\nseed = 1\n')
        elif not catalog.exists():
            write_table(catalog, given.structures)
        found = measure_run(catalog, folder / "d.zarr", given)
        found |= measure_use(folder / "d.zarr", folder, found["structures_made"] // 30)
    print(json.dumps({"benchmark": "scale", "structures": given.structures, "patterns": given.patterns, **found}))


def write_table(path: Path, n_structures: int) -> None:
    """Write CIFs of the archive and scaled copies of them, as many as wanted."""
    archive = shared_data() / "structures" / "materials_project.zip"
    with zipfile.ZipFile(archive) as opened:
        texts = {name: opened.read(name).decode() for name in sorted(opened.namelist()) if name.endswith(".cif")}
    schema = pa.schema([("id", pa.string()), ("cif", pa.large_string())])
    rows = scaled(texts)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, n_structures, AT_ONCE):
            chosen = [next(rows) for _ in range(min(AT_ONCE, n_structures - first))]
            writer.write_table(pa.table([[r[0] for r in chosen], [r[1] for r in chosen]], schema=schema))


def scaled(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield every text, then every text with larger cells, and so on."""
    copy = 0
    while True:
        factor = 1 + STEP * copy
        for name, text in texts.items():
            yield f"{name}-{copy}", EDGE.sub(lambda edge: f"{edge[1]}{float(edge[2]) * factor:.6f}", text)  # noqa: B023
        copy += 1


def command_of(catalog: Path, dataset: Path, given: argparse.Namespace) -> list[str]:
    """Return the command of the run."""
    settings = [f"simulation.instrument={{base = 'alphadiffract', n_points = {given.points}}}", "store.xrd_peaks=none"]
    settings += ["store.patterns=none", "store.d_min_A=1.0"] if not given.patterns else []
    settings += [f"simulation.augmentation.count={given.patterns}"] if given.patterns else []
    sets = [part for setting in settings for part in ("--set", setting)]
    program = [sys.executable, "-m", "datagen", "run", str(catalog), "--out", str(dataset)]
    return [*program, "--workers", str(given.workers), "--quiet", *sets]


def measure_run(catalog: Path, dataset: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run and resume; return seconds and largest memory by phase."""
    phases: dict[str, dict[str, float]] = {}
    spent: dict[int, float] = {}
    command = command_of(catalog, dataset, given)
    began = time.perf_counter()
    for until in (*INTERRUPTED_AT, None):
        process = subprocess.Popen(command)
        watch(process, dataset, phases, until, spent)
        code = process.wait()
        ended = f"interrupted in {until}" if until else "finished"
        print(f"{time.perf_counter() - began:,.0f} s: {ended}, exit code {code}", flush=True)
        if until is None and code:
            raise SystemExit(f"the run failed with exit code {code}; see {dataset}/.run/run.log")
    total_s = time.perf_counter() - began
    files = [path for path in dataset.rglob("*") if path.is_file() and ".run" not in path.parts]
    for name, seen in phases.items():
        print(f"  {name}: " + ", ".join(f"{key} {value:,.1f}" for key, value in seen.items()))
    made = json.loads((dataset / "zarr.json").read_bytes())["attributes"]["layout"]["n_structures"]
    reasons = pq.read_table(dataset / "curation.parquet", columns=["reason"])["reason"].drop_null()
    refused = {str(one["values"]): one["counts"].as_py() for one in reasons.value_counts() if one["values"].as_py()}
    return {
        "seconds": round(total_s, 1),
        "refused": refused,
        "structures_made": made,
        "structures_per_second_per_core": round(made / total_s / given.workers, 2),
        "core_seconds": round(sum(spent.values())),
        "structures_per_core_second": round(made / sum(spent.values()), 1),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "driver_memory_MB": round(max(seen["driver_MB"] for seen in phases.values())),
        "worker_memory_MB": round(max(seen["worker_MB"] for seen in phases.values())),
        "phases": phases,
    }


def watch(
    process: subprocess.Popen[bytes],
    dataset: Path,
    phases: dict[str, dict[str, float]],
    until: str | None,
    spent: dict[int, float],
) -> None:
    """Follow a run until it ends; interrupt it in the middle of phase `until`. `spent` is processor time by process."""
    driver = psutil.Process(process.pid)
    looked = time.perf_counter()
    while process.poll() is None:
        time.sleep(POLL_s)
        try:
            shot = json.loads((dataset / ".run" / "progress.json").read_bytes())
            memory_MB = driver.memory_info().rss / 1e6
            now = _core_seconds(driver)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            continue
        before = sum(spent.values())
        spent.update(now)
        if shot["pid"] != process.pid:
            continue
        name = shot["phase"]
        seen = phases.setdefault(name, {"seconds": 0.0, "core_s": 0.0, "driver_MB": 0.0, "worker_MB": 0.0})
        seen["seconds"] = round(seen["seconds"] + time.perf_counter() - looked, 1)
        seen["core_s"] = round(seen["core_s"] + sum(spent.values()) - before, 1)
        looked = time.perf_counter()
        seen["driver_MB"] = max(seen["driver_MB"], memory_MB)
        seen["worker_MB"] = max(seen["worker_MB"], (shot["worker_memory_bytes"] or 0.0) / 1e6)
        if name == until and shot["total"] and shot["done"] > shot["total"] / 3:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _core_seconds(driver: psutil.Process) -> dict[int, float]:
    """Return the processor time so far of a process and those it started, by process."""
    found = {}
    for each in (driver, *driver.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            found[each.pid] = times.user + times.system
    return found


def measure_use(dataset: Path, folder: Path, n_sample: int) -> dict[str, Any]:
    """Return the seconds of what users do with a dataset and a sample of it, each in a process of its own."""
    datagen = [sys.executable, "-m", "datagen"]
    small = folder / "small.zarr"
    uses = {
        "status": [*datagen, "status", str(dataset)],
        "inspect": [*datagen, "inspect", str(dataset)],
        "verify": [*datagen, "verify", str(dataset)],
        "open": [sys.executable, "-c", f"import xarray; xarray.open_zarr({str(dataset)!r})"],
        "trainer_start": [sys.executable, "-c", _TRAINER.format(str(dataset))],
        "subset": [*datagen, "subset", str(dataset), "--sample", str(n_sample), "--out", str(small)],
        "merge": [*datagen, "merge", str(dataset), str(small), "--out", str(folder / "both.zarr")],
        "audit": [*datagen, "audit", str(dataset), str(small)],
    }
    found: dict[str, Any] = {}
    for name, command in uses.items():
        for leftover in (small,) if name == "subset" else (folder / "both.zarr",) if name == "merge" else ():
            shutil.rmtree(leftover, ignore_errors=True)
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"COLUMNS": "200"})
        _, code, usage = os.wait4(process.pid, 0)
        seconds = round(time.perf_counter() - began, 2)
        print(f"{name}: {seconds} s, {usage.ru_maxrss / 1e3:,.0f} MB, exit code {os.waitstatus_to_exitcode(code)}")
        found |= {f"{name}_s": seconds, f"{name}_MB": round(usage.ru_maxrss / 1e3)}
        if os.waitstatus_to_exitcode(code):
            found[f"{name}_failed"] = True
    return found


_TRAINER = "from trainer.data.store import open_dataset; d = open_dataset({!r}); d.rows('train')[:3]"
"""Opening and the first rows: what passes before the first batch is read."""

if __name__ == "__main__":
    main()
