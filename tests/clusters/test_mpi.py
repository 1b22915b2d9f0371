"""Runs as processes of one launch by Open MPI's and MPICH's mpirun."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.clusters.conftest import Reference
from tests.clusters.slow import slow_tasks
from tests.faults.runs import command, content_of, environment, wait_until
from tests.slurm.controller import Controller

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1800)]

RUN_S = 1200
PROCESSES = 5
#: What `--version` of a launcher says, Debian's name of the program, its options, and its variable of the rank.
LAUNCHERS = {
    "Open MPI": (("Open MPI", "OpenRTE"), "mpirun.openmpi", ["--oversubscribe"], "OMPI_COMM_WORLD_RANK"),
    "MPICH": (("HYDRA",), "mpirun.mpich", [], "PMI_RANK"),
}


def launcher(name: str) -> list[str]:
    """Return the start of a command line; skip where this MPI is not installed."""
    marks, program, options, _ = LAUNCHERS[name]
    for candidate in (program, "mpirun", "mpiexec"):
        if found := shutil.which(candidate):
            says = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60, check=False)
            if any(mark in says.stdout for mark in marks):
                as_root = ["--allow-run-as-root"] if name == "Open MPI" and os.geteuid() == 0 else []
                return [found, *as_root, *options, "-n", str(PROCESSES)]
    pytest.skip(f"{name} is not installed; on Debian: apt-get install openmpi-bin mpich")


@contextmanager
def launched(
    name: str, config: Path, dataset: Path, log: Path, extra: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `mpirun datagen run`; whatever is left of it at the end is killed."""
    words = [*launcher(name), *command("run", config, "--out", dataset, "--cluster", "tested")]
    with log.open("ab") as said:
        process = subprocess.Popen(words, env=environment(extra), stdout=said, stderr=said, start_new_session=True)
    started: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            started = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for one in started:
            if one.is_running():
                one.kill()


def process_of_rank(name: str, mpirun: int, rank: int) -> psutil.Process:
    """Return the process that the launcher started for a rank."""
    variable = LAUNCHERS[name][3]
    ranked = []
    for process in psutil.Process(mpirun).children(recursive=True):
        try:
            if process.environ().get(variable) == str(rank):
                ranked.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    numbers = {process.pid for process in ranked}
    return next(process for process in ranked if process.ppid() not in numbers)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def profile_in(reference: Reference, folder: Path) -> Path:
    return reference.with_profile(folder, kind="mpi", shared_directory=folder, memory_per_worker="1 GB")


@pytest.mark.parametrize("name", LAUNCHERS)
def test_mpirun_makes_the_same_dataset(name: str, reference: Reference, tmp_path: Path) -> None:
    config, dataset, log = profile_in(reference, tmp_path), tmp_path / "mpi.zarr", tmp_path / "run.log"
    with launched(name, config, dataset, log) as run:
        assert run.wait(RUN_S) == 0, log.read_text()
    assert content_of(dataset) == reference.content
    assert log.read_text().count("simulate: 10 structures") == 1, "one process is the driver"
    assert list(tmp_path.glob("allocation-*")) == [], "the certificate is gone"


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_process_killed_in_the_middle_ends_the_launch_and_the_next_one_resumes(
    name: str, reference: Reference, tmp_path: Path
) -> None:
    config, dataset, log = profile_in(reference, tmp_path), tmp_path / "mpi.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 6)
    with launched(name, config, dataset, log, slow) as run:
        wait_until(lambda: list((dataset / "ledger").glob("shard-*.json")), RUN_S)
        everything = psutil.Process(run.pid).children(recursive=True)
        os.kill(process_of_rank(name, run.pid, PROCESSES - 1).pid, signal.SIGKILL)
        assert run.wait(120) != 0, "mpirun ends everything when one of its processes is killed"
        wait_until(lambda: not any(lives(one) for one in everything), 120)
    assert len(list((dataset / "ledger").glob("shard-*.json"))) < 10
    with launched(name, config, dataset, log) as run:
        assert run.wait(RUN_S) == 0, log.read_text()
    assert content_of(dataset) == reference.content


@pytest.mark.parametrize("name", LAUNCHERS)
def test_mpirun_over_four_nodes_of_slurm_makes_the_same_dataset(
    name: str, four_networks: Controller, reference: Reference, tmp_path: Path
) -> None:
    config, dataset, output = profile_in(reference, tmp_path), tmp_path / "mpi.zarr", tmp_path / "job.log"
    mpirun = launcher(name)[:-2]  # SLURM says how many processes and where
    script = tmp_path / "job.sh"
    script.write_text(
        f"#!/bin/bash\n{shlex.join([*mpirun, *command('run', config, '--out', dataset, '--cluster', 'tested')])}\n"
    )
    four_networks.command(
        "sbatch", "--wait", "--nodes=4", "--ntasks=6", f"--output={output}", str(script), timeout_s=RUN_S
    )
    assert content_of(dataset) == reference.content, output.read_text()


def test_two_launches_by_mpich_with_one_shared_folder_do_not_meet(reference: Reference, tmp_path: Path) -> None:
    config = profile_in(reference, tmp_path)
    logs = tmp_path / "first.log", tmp_path / "second.log"
    with (
        launched("MPICH", config, tmp_path / "first.zarr", logs[0]) as first,
        launched("MPICH", config, tmp_path / "second.zarr", logs[1]) as second,
    ):
        assert first.wait(RUN_S) == 0, logs[0].read_text()
        assert second.wait(RUN_S) == 0, logs[1].read_text()
    assert content_of(tmp_path / "first.zarr") == content_of(tmp_path / "second.zarr") == reference.content
