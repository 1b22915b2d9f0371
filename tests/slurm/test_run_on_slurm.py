"""The whole run on SLURM: jobs cancelled in the middle, the driver killed, and the same dataset as on this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.runs import ROOT, content_of, datagen, started, wait_until, write_inputs
from tests.slurm.controller import Controller

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

PROFILE = """
[cluster.big]
kind = "slurm"
workers = 2
memory_per_worker = "1 GB"
walltime = "00:10:00"
scheduler_host = "127.0.0.1"
shared_directory = "{folder}"
worker_wait_s = 120
"""


def running_jobs(controller: Controller) -> list[str]:
    return controller.command("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


def test_a_run_on_slurm_survives_scancel_and_a_killed_driver(
    controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    config = write_inputs(tmp_path / "inputs")
    config.write_text(config.read_text() + PROFILE.format(folder=tmp_path))
    here = datagen("run", config, "--out", tmp_path / "here.zarr", "--cluster", "inline")
    assert here.returncode == 0, here.stdout + here.stderr

    dataset = tmp_path / "slurm.zarr"
    log = tmp_path / "run.log"
    with started("run", config, "--out", dataset, "--cluster", "big", log=log) as first:
        wait_until(lambda: running_jobs(controller))
        controller.command("scancel", running_jobs(controller)[0])
        # The other job and the replacement go on; a shard or two later everything is killed.
        wait_until(lambda: (dataset / "ledger" / "shard-00001.json").exists())
        assert first.poll() is None or first.returncode == 0, log.read_text()
    # Leaving the block killed driver and scheduler with SIGKILL; the jobs end by themselves.
    ended = datagen("run", config, "--out", dataset, "--cluster", "big", timeout_s=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr + log.read_text()
    assert content_of(dataset) == content_of(tmp_path / "here.zarr")
    end = time.monotonic() + 120
    while running_jobs(controller) and time.monotonic() < end:
        time.sleep(0.5)
    assert running_jobs(controller) == []


def test_the_plan_shows_the_job_script(controller: Controller, tmp_path: Path) -> None:
    del controller
    config = write_inputs(tmp_path / "inputs")
    config.write_text(config.read_text() + PROFILE.format(folder=tmp_path))
    said = datagen("plan", config, "--cluster", "big")
    assert said.returncode == 0, said.stderr
    assert "#SBATCH -t 00:10:00" in said.stdout
    assert not (tmp_path / "config.zarr").exists()


def test_one_allocation_runs_the_whole_command(controller: Controller, tmp_path: Path) -> None:
    config = write_inputs(tmp_path / "inputs")
    config.write_text(config.read_text() + f'\n[cluster.all]\nkind = "slurm-runner"\nshared_directory = "{tmp_path}"\n')
    dataset = tmp_path / "allocation.zarr"
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\n"
        f"export PYTHONPATH='{ROOT}'\n"
        f"srun --ntasks=4 {subprocess.list2cmdline([sys.executable])} -m datagen run '{config}' "
        f"--out '{dataset}' --cluster all\n"
    )
    output = tmp_path / "job.log"
    done = controller.command("sbatch", "--wait", "--ntasks=4", f"--output={output}", str(script), timeout_s=500)
    assert "Submitted" in done
    here = datagen("run", config, "--out", tmp_path / "here.zarr", "--cluster", "inline")
    assert here.returncode == 0
    assert content_of(dataset) == content_of(tmp_path / "here.zarr"), output.read_text()
