"""Runs on a real Grid Engine, whose queue runs jobs in csh unless they ask for another shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.conftest import Reference
from tests.clusters.grid_engine import GridEngine, grid_engine, missing_programs
from tests.clusters.slow import PACE, slow_tasks
from tests.faults.runs import ROOT, content_of, datagen, started, wait_until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1800)]

RUN_S = 1200


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GridEngine]:
    if missing := missing_programs():
        pytest.skip(
            f"Grid Engine is not installed: no {', '.join(missing)}; "
            "on Debian: apt-get install gridengine-master gridengine-exec gridengine-client"
        )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with grid_engine() as engine:
        for name, value in engine.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield engine
        (tmp_path / "sge.log").write_text(engine.logs())


def profile(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "sge",
        "workers": 2,
        "memory_per_worker": "1 GB",
        "walltime": "00:30:00",
        "scheduler_host": "127.0.0.1",
        "shared_directory": folder,
        "worker_wait_s": 600.0,
        **changes,
    }


def running_jobs(engine: GridEngine) -> list[str]:
    return [line.split()[0] for line in engine.command("qstat", "-s", "r").splitlines()[2:]]


def test_grid_engine_makes_the_same_dataset_although_a_job_is_deleted(
    engine: GridEngine, reference: Reference, tmp_path: Path
) -> None:
    # Variables of the submitting shell reach the job only with -V.
    config = reference.with_profile(tmp_path, **profile(tmp_path, directives=["-V"]))
    dataset, log = tmp_path / "sge.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 4)
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log, extra=slow) as run:
        wait_until(lambda: list((dataset / "ledger").glob("shard-*.json")), RUN_S)
        engine.command("qdel", running_jobs(engine)[0])
        wait_until(lambda: run.poll() is not None, RUN_S)
        assert run.returncode == 0, log.read_text()
    assert content_of(dataset) == reference.content
    wait_until(lambda: not running_jobs(engine), 60)


def test_jobs_that_grid_engine_ends_at_their_walltime_are_replaced(
    engine: GridEngine, reference: Reference, tmp_path: Path
) -> None:
    settings = profile(tmp_path, workers=1, walltime=f"00:{2 * PACE:02}:00", lifetime_s=3600.0, directives=["-V"])
    config = reference.with_profile(tmp_path, **settings)
    dataset, log = tmp_path / "sge.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 16 * PACE)
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log, extra=slow) as run:
        wait_until(lambda: run.poll() is not None, RUN_S)
        assert run.returncode == 0, log.read_text()
    assert content_of(dataset) == reference.content
    assert len(list((tmp_path / "logs").glob("pxrd-datagen.o*"))) > 1, "another job was submitted"


def test_jobs_that_fail_before_their_worker_connects_end_the_run_soon(
    engine: GridEngine, reference: Reference, tmp_path: Path
) -> None:
    lines = ["echo module: python/3.11: no such module >&2", "exit 1"]
    config = reference.with_profile(tmp_path, **profile(tmp_path, prologue=lines, worker_wait_s=3600.0))
    ended = datagen("run", config, "--out", tmp_path / "sge.zarr", "--cluster", "tested", timeout_s=RUN_S)
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "every job ended before a worker connected, 3 times" in said
    assert said.endswith("module: python/3.11: no such module")


def test_jobs_that_grid_engine_cannot_start_are_explained(
    engine: GridEngine, reference: Reference, tmp_path: Path
) -> None:
    # Such a job stays in the queue for ever, in state Eqw.
    settings = profile(tmp_path, directives=["-S /bin/missing"], worker_wait_s=3600.0)
    config = reference.with_profile(tmp_path, **settings)
    ended = datagen("run", config, "--out", tmp_path / "sge.zarr", "--cluster", "tested", timeout_s=RUN_S)
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "every job ended before a worker connected, 3 times" in said
    assert "error reason" in said
    wait_until(lambda: not engine.command("qstat").strip(), 60)
