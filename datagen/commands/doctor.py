"""Check what is installed and what works on this machine, for bug reports."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from curation.cores import usable_cores
from datagen import __version__
from datagen.commands import siblings

Status = Literal["ok", "optional", "problem"]

REQUIRED = (
    *("numpy", "numba", "gemmi", "spglib", "pymatgen", "mp-pyrho"),
    *("zarr", "numcodecs", "xarray", "pyarrow"),
    *("dask", "distributed", "dask-jobqueue", "pydantic", "typer", "rich", "matplotlib"),
)
SCHEDULER_COMMANDS = {"SLURM": "sbatch", "PBS or SGE": "qsub", "LSF": "bsub"}
ENOUGH_SCRATCH_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One line of the output of `datagen doctor`."""

    part: str
    status: Status
    fact: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield every finding, in the order of display; a probe that raises is a finding too."""
    for part, probe in PROBES.items():
        try:
            yield from probe()
        except Exception as failure:  # noqa: BLE001 - any failure on this machine is a finding
            yield Finding(part, "problem", f"{type(failure).__name__}: {failure}")


def healthy(findings: list[Finding]) -> bool:
    """Return whether everything that a run needs is installed and works."""
    return all(finding.status != "problem" for finding in findings)


def _this_machine() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Finding(
        "machine", "ok", f"{platform.platform()}, {usable_cores()} usable cores, {_memory_GB():.0f} GB memory"
    )


def _packages() -> Iterator[Finding]:
    yield Finding("pxrd-datagen", "ok", __version__)
    for name in REQUIRED:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "problem", "not installed", f"python -m pip install {name}")


def _names() -> Iterator[Finding]:
    """Look for files that hide our packages, now or from a Python started in this folder."""
    installed = metadata.packages_distributions()
    clean = True
    for name in siblings.SIBLINGS:
        others = sorted(set(installed.get(name, ())) - {"pxrd-datagen"})
        if (found := siblings.hidden_by(name)) is not None:
            clean = False
            yield Finding(f"import {name}", "problem", siblings.hidden(name, found))
        elif others:
            clean = False
            fact = f"{', '.join(others)} installs a package of this name too"
            yield Finding(f"import {name}", "problem", fact, "give pxrd-datagen a virtual environment of its own")
        elif (found := siblings.would_hide(name, Path.cwd())) is not None:
            clean = False
            remedy = "rename it, or start Python elsewhere or with `python -P`; the command `datagen` is not affected"
            yield Finding(
                f"import {name}", "optional", f"{found} hides our package from a Python started in this folder", remedy
            )
    if clean:
        yield Finding("imports", "ok", f"{', '.join(siblings.SIBLINGS)} are ours")


def _kernels() -> Iterator[Finding]:
    import time

    from datagen.simulate.augmentation import AugmentationSettings, draw
    from datagen.simulate.instrument import Instrument
    from datagen.simulate.native import simulate
    from datagen.steps.shard_task import ROCK_SALT

    seconds: list[float] = []
    for _ in range(2):
        begun = time.perf_counter()
        simulate(
            ROCK_SALT,
            Instrument.preset("alphadiffract"),
            draw(AugmentationSettings(), 0, ROCK_SALT.structure_hash(), range(100)),
        )
        seconds.append(time.perf_counter() - begun)
    yield Finding(
        "native engine",
        "ok",
        f"compiled; first call {seconds[0]:.1f} s, 100 patterns of rock salt {seconds[1] * 1e3:.1f} ms",
    )


def _optional_parts() -> Iterator[Finding]:
    yield _gsas2()
    if importlib.util.find_spec("mp_api"):
        yield Finding("mp-api", "ok", metadata.version("mp-api"))
    else:
        yield Finding("mp-api", "optional", "not found", "install pxrd-datagen with the extra `mp` to download from it")
    if importlib.util.find_spec("torch"):
        yield Finding("torch", "ok", metadata.version("torch"))
    else:
        yield Finding(
            "torch",
            "optional",
            "not found",
            "make trainer, or install pxrd-datagen with the extra `trainer`, to train and predict",
        )


def _gsas2() -> Finding:
    from datagen.simulate.gsas2 import engine as gsas2
    from datagen.simulate.gsas2 import process

    try:
        return Finding("GSAS-II", "ok", f"{gsas2.version()}: engine gsas2 is available")
    except process.Gsas2StartError as failure:
        return Finding("GSAS-II", "optional", failure.fact, f"only engine gsas2 needs it: {process.HOW_TO_GET_IT}")
    finally:
        process.close()


def _gpu() -> Iterator[Finding]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield Finding("GPU", "optional", "not found (no nvidia-smi)", "only the trainer uses one")
        return
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if answer.returncode:
        yield Finding("GPU", "optional", f"nvidia-smi failed: {(answer.stderr or answer.stdout).strip()}")
    else:
        yield Finding("GPU", "ok", "; ".join(answer.stdout.strip().splitlines()))


def _schedulers() -> Iterator[Finding]:
    found = {name: path for name, tool in SCHEDULER_COMMANDS.items() if (path := shutil.which(tool))}
    if found:
        yield Finding("batch system", "ok", ", ".join(f"{name} ({path})" for name, path in found.items()))
    else:
        yield Finding(
            "batch system", "optional", "not found (no sbatch, qsub or bsub)", "--cluster local runs on this machine"
        )


def _disk() -> Iterator[Finding]:
    scratch = Path(tempfile.gettempdir())
    with tempfile.NamedTemporaryFile(dir=scratch) as probe:
        probe.write(b"x")
    free = shutil.disk_usage(scratch).free / 1e9
    status: Status = "ok" if free > ENOUGH_SCRATCH_GB else "problem"
    remedy = "" if status == "ok" else "set TMPDIR to a node-local disk with more free space"
    yield Finding("scratch", status, f"{scratch} is writable, {free:.0f} GB free", remedy)
    here = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Finding("this folder", "ok", f"{Path.cwd()}, {here:.0f} GB free")


PROBES: dict[str, Callable[[], Iterator[Finding]]] = {
    "machine": _this_machine,
    "packages": _packages,
    "imports": _names,
    "native engine": _kernels,
    "optional parts": _optional_parts,
    "GPU": _gpu,
    "batch system": _schedulers,
    "disk": _disk,
}


def _memory_GB() -> float:
    return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES") / 1e9
