"""Runs disturbed by their machine end, once the disturbance is over, with the dataset of an undisturbed run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.certificates import CERTIFICATE, KEY, write_certificate
from tests.faults.runs import (
    EXAMPLES,
    content_of,
    datagen,
    environment,
    finish,
    kill_session,
    session_members,
    started,
    startup_code,
    wait_until,
    workers_of,
)

Undisturbed = tuple[Path, dict[str, str]]

JUMPING_CLOCK = """
import time
real, steady = time.time, time.monotonic
def jumping():
    return real() + 20 * 86400 * max(0, int((steady() - BEGUN) / 1.5))
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
"""
NO_LOCKS = """
import errno, fcntl
def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = fcntl.lockf = refuse
"""


def test_a_clock_that_jumps_changes_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Every 1.5 s by 20 days, in all processes of the run. Not back: Dask's timers would wait for as long."""
    config, content = undisturbed
    code = startup_code(tmp_path / "code", JUMPING_CLOCK.replace("BEGUN", str(time.monotonic())))
    ended = datagen("run", config, "--out", tmp_path / "d.zarr", extra=code)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert content_of(tmp_path / "d.zarr") == content


@pytest.mark.stress
def test_a_system_clock_that_jumps_ahead_changes_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """By hours and weeks, also for C code (libfaketime): TLS certificates, file times, Dask's timeouts.

    Not back: then Dask can wait for as long as the clock was set back (docs/clusters.md).
    """
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    config, content = undisturbed
    clock, over = tmp_path / "clock", threading.Event()

    def jump() -> None:
        for turn in range(10_000):
            (tmp_path / "new").write_text(("+0", "+6h", "+3d", "+20d")[min(turn, 3)])
            (tmp_path / "new").replace(clock)
            if over.wait(2.0):
                return

    clock.write_text("+0")
    jumper = threading.Thread(target=jump)
    jumper.start()
    try:
        faked = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        ended = datagen("run", config, "--out", tmp_path / "d.zarr", extra=faked)
    finally:
        over.set()
        jumper.join()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert content_of(tmp_path / "d.zarr") == content


def test_a_file_system_without_locks_changes_nothing_and_still_admits_one_driver(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    config, content = undisturbed
    no_locks = startup_code(tmp_path / "code", NO_LOCKS)
    dataset = tmp_path / "d.zarr"
    with started("run", config, "--out", dataset, log=tmp_path / "killed.log", extra=no_locks) as first:
        wait_until(lambda: list((dataset / "ledger").glob("shard-*.json")) or first.poll() is not None)
        first.send_signal(signal.SIGSTOP)  # or it may finish before the second has started
        second = datagen("run", config, "--out", dataset, extra=no_locks)
        assert second.returncode == 2, second.stdout + second.stderr
        assert f"process {first.pid}" in second.stderr
    finish(config, dataset, extra=no_locks)  # the first driver was killed while it held the folder
    assert content_of(dataset) == content


def test_a_catalog_folder_that_changes_while_it_is_read(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Files are replaced by equal ones and other files come and go while it is read; afterwards all are deleted."""
    config, _ = undisturbed
    shutil.copytree(config.parent / "cifs", tmp_path / "cifs")
    shutil.copy(config, tmp_path)
    cifs, dataset = tmp_path / "cifs", tmp_path / "d.zarr"
    replaced = 0
    with started("run", tmp_path / config.name, "--out", dataset, log=tmp_path / "d.log") as run:
        while run.poll() is None and not list((dataset / ".run").rglob("staged.json")):
            for path in sorted(cifs.glob("*.cif")):
                (cifs / ".new").write_bytes(path.read_bytes())
                (cifs / ".new").replace(path)
                (cifs / "notes.txt").write_text(str(replaced))
                replaced += 1
        shutil.rmtree(cifs)
        assert run.wait(timeout=240) == 0, (tmp_path / "d.log").read_text()
    assert replaced
    assert_equal_but_for_paths(dataset, config.parent / "whole.zarr")


def test_what_was_read_of_a_changing_folder_is_kept_when_the_run_is_killed(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """The records that the first start read are those of the dataset, whatever the folder holds at the second."""
    config, _ = undisturbed
    shutil.copytree(config.parent / "cifs", tmp_path / "cifs")
    shutil.copy(config, tmp_path)
    cifs, dataset = tmp_path / "cifs", tmp_path / "d.zarr"
    with started("run", tmp_path / config.name, "--out", dataset, log=tmp_path / "d.log") as run:
        wait_until(lambda: list((dataset / ".run").rglob("staged.json")) or run.poll() is not None)
        assert run.poll() is None
    (cifs / "halite.cif").unlink()
    (cifs / "quartz.cif").write_text("data_broken\n")
    shutil.copy(EXAMPLES / "beryl.cif", cifs)
    finish(tmp_path / config.name, dataset)
    assert_equal_but_for_paths(dataset, config.parent / "whole.zarr")


def assert_equal_but_for_paths(dataset: Path, other: Path) -> None:
    """Compare every file but those that name the catalog's folder, of which compare the verdicts."""
    naming = {"zarr.json", "curation.parquet", "ledger/frame.json"}
    found, expected = ({k: v for k, v in content_of(d).items() if k not in naming} for d in (dataset, other))
    assert found == expected
    columns = ["source_id", "status", "reason", "structure_hash", "row"]
    tables = [pq.read_table(d / "curation.parquet", columns=columns).to_pylist() for d in (dataset, other)]
    assert tables[0] == tables[1]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount a folder read-only over itself, also while files in it are open for writing."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.stress
@pytest.mark.parametrize("moment", ["config.json", "curation.unfinished/staged.json", "../ledger/shard-00001.json"])
def test_a_file_system_that_becomes_read_only_in_the_middle(
    undisturbed: Undisturbed, small_disk: Path, moment: str
) -> None:
    config, content = undisturbed
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    dataset, log = small_disk / "d.zarr", config.parent / "read-only.log"
    log.unlink(missing_ok=True)
    with started("run", config, "--out", dataset, log=log) as run:
        wait_until(lambda: (dataset / ".run" / moment).exists() or run.poll() is not None)
        with read_only(dataset):
            assert run.wait(timeout=240) == 2, log.read_text()
    assert "read-only" in log.read_text().lower()
    assert "Traceback" not in log.read_text()
    finish(config, dataset)
    assert content_of(dataset) == content


@pytest.mark.stress
def test_a_worker_that_gets_no_more_memory_costs_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The system refuses memory to one worker after the other: MemoryError, or a crash in compiled code."""
    config, content = undisturbed
    dataset, log = tmp_path / "d.zarr", tmp_path / "d.log"
    squeezed = 0
    with started("run", config, "--out", dataset, log=log) as run:
        wait_until(lambda: b"curate: 10 records" in log.read_bytes() or run.poll() is not None)  # workers are there
        while squeezed < 8 and run.poll() is None:
            for pid in workers_of(run.pid)[squeezed % 2 :][:1]:
                squeezed += refuse_memory(pid, 1.0)
            time.sleep(0.2)
        assert run.wait(timeout=240) == 0, log.read_text()
    assert squeezed
    assert content_of(dataset) == content


def refuse_memory(pid: int, seconds: float) -> bool:
    """Limit a process's address space to what it has now, for a while; False if it is gone."""
    try:
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.prlimit(pid, resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        time.sleep(seconds)
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    except (OSError, ProcessLookupError):
        return False
    return True


@pytest.mark.stress
def test_a_memory_limit_of_a_control_group_is_an_ending_with_a_reason(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The kernel kills processes of a run that exceeds its group's limit; without the limit the run is completed."""
    scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", "MemoryMax=700M", "-p", "MemorySwapMax=0"]
    try:
        subprocess.run([*scope, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("control groups with memory limits need systemd with a user manager")
    config, content = undisturbed
    dataset = tmp_path / "d.zarr"
    command = [*scope, sys.executable, "-m", "datagen", "run", str(config), "--out", str(dataset), "--workers", "4"]
    limited = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=280, check=False)
    assert limited.returncode in (0, 2, -signal.SIGKILL), limited.stdout + limited.stderr
    assert "Traceback" not in limited.stderr
    finish(config, dataset)
    assert content_of(dataset) == content


@contextmanager
def dask_cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler and two workers with nannies in processes of their own; the address and the workers' process."""
    security = write_certificate(folder)
    tls = [
        *("--tls-ca-file", str(security / CERTIFICATE)),
        *("--tls-cert", str(security / CERTIFICATE)),
        *("--tls-key", str(security / KEY)),
    ]
    address_file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--protocol", "tls", "--no-dashboard"]
    worker = [*dask, "worker", "--nworkers", "1", "--nthreads", "1", "--local-directory", str(folder), "--no-dashboard"]
    processes = []
    with (folder / "dask.log").open("wb") as log:
        try:
            for command in (scheduler, worker, worker):
                command = [*command, "--scheduler-file", str(address_file), *tls]
                processes.append(
                    subprocess.Popen(
                        command, env=environment(), stdout=log, stderr=log, cwd=folder, start_new_session=True
                    )
                )
                wait_until(address_file.exists)
            yield json.loads(address_file.read_text())["address"], processes[1]
        finally:
            for process in processes:
                kill_session(process.pid)
                process.wait()


@pytest.mark.stress
def test_a_killed_nanny_costs_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    config, content = undisturbed
    dataset, log = tmp_path / "d.zarr", tmp_path / "d.log"
    with dask_cluster(tmp_path) as (address, nanny):
        (certificate,) = tmp_path.glob("tls-*")
        other = tmp_path / "config.toml"
        other.write_text(
            config.read_text().split("[cluster]")[0].replace('"cifs"', f'"{config.parent / "cifs"}"')
            + f'[cluster]\nkind = "address"\naddress = "{address}"\n'
            + f'tls_certificate = "{certificate / CERTIFICATE}"\ntls_key = "{certificate / KEY}"\n'
        )
        with started("run", other, "--out", dataset, log=log) as run:
            wait_until(lambda: list((dataset / "ledger").glob("shard-*.json")) or run.poll() is not None)
            assert run.poll() is None, log.read_text()
            orphans = [pid for pid in session_members(nanny.pid) if pid != nanny.pid]
            assert orphans
            os.kill(nanny.pid, signal.SIGKILL)
            nanny.wait()
            assert run.wait(timeout=240) == 0, log.read_text()
        wait_until(lambda: not set(orphans) & set(session_members(nanny.pid)), 60)
    assert content_of(dataset) == content
