"""Runs on a SLURM of four nodes: the same dataset as in one process, with a node killed and with short walltimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clusters.conftest import Reference
from tests.faults.runs import content_of, started, wait_until
from tests.slurm.controller import Controller

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(1800)]


def profile(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "slurm",
        "workers": 4,
        "memory_per_worker": "1 GB",
        "walltime": "00:10:00",
        "scheduler_host": "127.0.0.1",
        "shared_directory": folder,
        "worker_wait_s": 600.0,
        **changes,
    }


def nodes_of_jobs(controller: Controller) -> dict[str, str]:
    """Return the node of each running job."""
    lines = controller.command("squeue", "--noheader", "--states=RUNNING", "--format=%i %N").splitlines()
    return dict(line.split() for line in lines)


def test_four_nodes_make_the_same_dataset(four_nodes: Controller, reference: Reference, tmp_path: Path) -> None:
    config = reference.with_profile(tmp_path, **profile(tmp_path))
    dataset = tmp_path / "slurm.zarr"
    nodes: set[str] = set()
    log = tmp_path / "run.log"
    with started("run", config, "--out", dataset, "--cluster", "tested", log=log) as run:

        def ended() -> bool:
            nodes.update(nodes_of_jobs(four_nodes).values())
            return run.poll() is not None

        wait_until(ended, 900)
        assert run.returncode == 0, log.read_text()
    assert nodes == set(four_nodes.nodes), "every node had a job"
    assert content_of(dataset) == reference.content
