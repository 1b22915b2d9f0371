"""Runs on a SLURM of four nodes: the same dataset as in one process, with a node killed and with walltimes that end."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clusters.conftest import Reference
from tests.clusters.slow import PACE, slow_tasks
from tests.faults.runs import content_of, datagen, started, wait_until
from tests.slurm.controller import Controller

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1800)]

RUN_S = 1200
"""Limit of one run, on a machine that is busy with other things."""


SHARDS = 10


def profile(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "slurm",
        "workers": 4,
        "memory_per_worker": "1 GB",
        "walltime": "00:30:00",
        "scheduler_host": "127.0.0.1",
        "shared_directory": folder,
        "worker_wait_s": 600.0,
        **changes,
    }


def nodes_of_jobs(controller: Controller) -> dict[str, str]:
    """Return the node of each running job."""
    lines = controller.command("squeue", "--noheader", "--states=RUNNING", "--format=%i %N").splitlines()
    return dict(line.split() for line in lines)


def states_of_jobs(controller: Controller) -> list[str]:
    """Return the states of all jobs, ended ones too."""
    return controller.command("squeue", "--noheader", "--states=all", "--format=%T").split()


def shards(dataset: Path) -> int:
    return len(list((dataset / "ledger").glob("shard-*.json")))


def test_four_nodes_make_the_same_dataset(four_nodes: Controller, reference: Reference, tmp_path: Path) -> None:
    config = reference.with_profile(tmp_path, **profile(tmp_path))
    dataset, log = tmp_path / "slurm.zarr", tmp_path / "run.log"
    nodes: set[str] = set()
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log) as run:

        def ended() -> bool:
            nodes.update(nodes_of_jobs(four_nodes).values())
            return run.poll() is not None

        wait_until(ended, RUN_S)
        assert run.returncode == 0, log.read_text()
    assert nodes == set(four_nodes.nodes), "every node had a job"
    assert content_of(dataset) == reference.content
    wait_until(lambda: not nodes_of_jobs(four_nodes), 60)


def test_a_node_that_dies_in_the_middle_costs_nothing(
    four_nodes: Controller, reference: Reference, tmp_path: Path
) -> None:
    config = reference.with_profile(tmp_path, **profile(tmp_path))
    dataset, log = tmp_path / "slurm.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 8)
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log, extra=slow) as run:
        wait_until(lambda: shards(dataset) >= 1, RUN_S)
        node = next(iter(nodes_of_jobs(four_nodes).values()))
        killed = four_nodes.kill_node(node)
        assert len(killed) >= 4, "slurmstepd, the script, the nanny and the worker"
        assert shards(dataset) < SHARDS, "in the middle"
        wait_until(lambda: run.poll() is not None, RUN_S)
        assert run.returncode == 0, log.read_text()
    assert content_of(dataset) == reference.content
    # SLURM waits for an answer of the node before it calls it down.
    wait_until(lambda: "down" in four_nodes.command("sinfo", "--noheader", f"--nodes={node}", "--format=%T"), 120)


def test_a_node_whose_network_fails_in_the_middle_costs_nothing(
    four_networks: Controller, reference: Reference, tmp_path: Path
) -> None:
    network = four_networks.networks
    assert network is not None
    config = reference.with_profile(tmp_path, **profile(tmp_path, scheduler_host=network.address))
    dataset, log = tmp_path / "slurm.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 8)
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log, extra=slow) as run:
        wait_until(lambda: shards(dataset) >= 1, RUN_S)
        node = next(iter(nodes_of_jobs(four_networks).values()))
        # No message says so, and what runs on the node continues: it writes its shard beside the repeated task.
        network.cut(node)
        assert shards(dataset) < SHARDS, "in the middle"
        wait_until(lambda: run.poll() is not None, RUN_S)
        four_networks.kill_node(node)
        assert run.returncode == 0, log.read_text()
    assert content_of(dataset) == reference.content


def test_workers_leave_before_the_walltime_and_new_jobs_go_on(
    four_nodes: Controller, reference: Reference, tmp_path: Path
) -> None:
    # Three minutes, of which workers use three quarters: the margin is at most a quarter.
    config = reference.with_profile(tmp_path, **profile(tmp_path, workers=1, walltime=f"00:{3 * PACE:02}:00"))
    dataset, log = tmp_path / "slurm.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 16 * PACE)
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log, extra=slow) as run:
        wait_until(lambda: run.poll() is not None, RUN_S)
        assert run.returncode == 0, log.read_text()
    assert content_of(dataset) == reference.content
    states = states_of_jobs(four_nodes)
    assert len(states) > 1, "another job was submitted"
    assert "TIMEOUT" not in states, "no job reached its walltime"


def test_jobs_that_slurm_ends_at_their_walltime_are_replaced(
    four_nodes: Controller, reference: Reference, tmp_path: Path
) -> None:
    settings = profile(tmp_path, workers=1, walltime=f"00:{2 * PACE:02}:00", lifetime_s=3600.0)
    config = reference.with_profile(tmp_path, **settings)
    dataset, log = tmp_path / "slurm.zarr", tmp_path / "run.log"
    slow = slow_tasks(tmp_path, 20 * PACE)
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log, extra=slow) as run:
        wait_until(lambda: run.poll() is not None, RUN_S)
        assert run.returncode == 0, log.read_text()
    assert content_of(dataset) == reference.content
    assert "TIMEOUT" in states_of_jobs(four_nodes)


def test_jobs_that_fail_before_their_worker_connects_end_the_run_soon(
    four_nodes: Controller, reference: Reference, tmp_path: Path
) -> None:
    lines = ["echo module: python/3.11: no such module >&2", "exit 1"]
    config = reference.with_profile(tmp_path, **profile(tmp_path, prologue=lines, worker_wait_s=3600.0))
    began = time.monotonic()
    ended = datagen("run", config, "--out", tmp_path / "slurm.zarr", "--cluster", "tested", timeout_s=RUN_S)
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "every job ended before a worker connected, 3 times" in said
    assert said.endswith("module: python/3.11: no such module")
    assert re.search(r"warning: cluster.jobqueue: cluster 'slurm': jobs? [\d, ]+ ended before a worker connected", said)
    assert set(states_of_jobs(four_nodes)) == {"FAILED"}
    assert len(states_of_jobs(four_nodes)) <= 12
    print(f"{time.monotonic() - began:.0f} s")


def test_a_node_where_jobs_fail_does_not_stop_the_others(
    four_nodes: Controller, reference: Reference, tmp_path: Path
) -> None:
    broken = 'test "$SLURMD_NODENAME" = node2 && { echo no disk on node2 >&2; exit 1; }'
    config = reference.with_profile(tmp_path, **profile(tmp_path, prologue=[broken]))
    dataset = tmp_path / "slurm.zarr"
    slow = slow_tasks(tmp_path, 3)
    ended = datagen("run", config, "--out", dataset, "--cluster", "tested", extra=slow, timeout_s=RUN_S)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert content_of(dataset) == reference.content
    assert "FAILED" in states_of_jobs(four_nodes)


def test_an_allocation_over_four_nodes_that_ends_in_the_middle_is_resumed(
    four_nodes: Controller, reference: Reference, tmp_path: Path
) -> None:
    config = reference.with_profile(tmp_path, kind="slurm-runner", shared_directory=tmp_path, memory_per_worker="1 GB")
    dataset, output = tmp_path / "allocation.zarr", tmp_path / "job.log"
    paths = slow_tasks(tmp_path, 8)["PYTHONPATH"]
    script = tmp_path / "job.sh"
    script.write_text(
        f"#!/bin/bash\nexport PYTHONPATH='{paths}'\n"
        f"srun --kill-on-bad-exit=0 {subprocess.list2cmdline([sys.executable])} -m datagen run '{config}' "
        f"--out '{dataset}' --cluster tested\n"
    )
    submit = [
        "sbatch",
        "--parsable",
        "--nodes=4",
        "--ntasks=6",
        f"--output={output}",
        "--open-mode=append",
        str(script),
    ]
    first = four_nodes.command(*submit).strip()
    wait_until(lambda: shards(dataset) >= 1, RUN_S)
    four_nodes.command("scancel", first)
    wait_until(lambda: not nodes_of_jobs(four_nodes), 120)
    assert shards(dataset) < SHARDS
    four_nodes.command(*submit[:1], "--wait", *submit[1:], timeout_s=RUN_S)
    assert content_of(dataset) == reference.content, output.read_text()
