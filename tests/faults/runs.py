"""Small runs from the command line, each in a process that can be killed with all its children."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "catalogs" / "examples"
CRYSTALS = (
    "halite",
    "quartz",
    "rutile",
    "silicon",
    "aragonite",
    "zincite",
    "calcite",
    "anatase",
    "diamond",
    "marcasite",
)

CONFIG = """
[[catalog]]
kind = "folder"
path = "cifs"

[simulation]
augmentation = {{ count = 3 }}

[simulation.instrument]
lines = [{{ wavelength_A = 0.619921 }}]
polarisation = 0.99
two_theta_min_deg = 5.0
two_theta_max_deg = 20.0
n_points = 512

[store]
structures_per_shard = 2

[cluster]
workers = {workers}
"""


def write_inputs(folder: Path, *, workers: int = 2) -> Path:
    """Write a configuration and ten crystals to `folder`; return the configuration's path."""
    (folder / "cifs").mkdir(parents=True)
    for name in CRYSTALS:
        shutil.copy(EXAMPLES / f"{name}.cif", folder / "cifs")
    config = folder / "config.toml"
    config.write_text(CONFIG.format(workers=workers))
    return config


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "datagen", *map(str, arguments)]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **(extra or {})}


def datagen(
    *arguments: object, extra: dict[str, str] | None = None, timeout_s: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        command(*arguments), env=environment(extra), capture_output=True, text=True, timeout=timeout_s, check=False
    )


def finish(config: Path, dataset: Path, *more: str, extra: dict[str, str] | None = None) -> None:
    """Run the command line until the dataset is complete."""
    ended = datagen("run", config, "--out", dataset, *more, extra=extra)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def startup_code(folder: Path, code: str) -> dict[str, str]:
    """Return an environment in which every Python of a run executes `code` when it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@contextmanager
def started(*arguments: object, log: Path, extra: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command line in its own session, with output to `log`; kill everything it started at the end."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            command(*arguments), env=environment(extra), stdout=said, stderr=said, start_new_session=True
        )
    try:
        yield process
    finally:
        kill_session(process.pid)
        process.wait()


def kill_session(leader: int, signal_number: int = signal.SIGKILL) -> None:
    """Signal every process of a session: driver, scheduler, nannies, workers and sandboxes."""
    for pid in session_members(leader):
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            continue


def session_members(leader: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == leader or int(entry.name) == leader:
                members.append(int(entry.name))
    return members


def workers_of(leader: int) -> list[int]:
    """Return the pids of Dask's worker processes, which multiprocessing spawns."""
    found = []
    for pid in session_members(leader):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"multiprocessing.spawn" in line and b"spawn_main" in line:
            found.append(pid)
    return found


def content_of(dataset: Path) -> dict[str, str]:
    """Return the checksum of every file, without the report and the run's own folder, which hold timings."""
    return {
        path.relative_to(dataset).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(dataset.rglob("*"))
        if path.is_file() and path.relative_to(dataset).parts[0] not in (".run", "report.html")
    }


def wait_until(condition: object, timeout_s: float = 120.0) -> None:
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"the condition was not met within {timeout_s:g} s"
        time.sleep(0.02)
