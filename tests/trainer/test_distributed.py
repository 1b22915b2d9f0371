"""Two processes under torchrun train one model: the same weights in both, each structure in one of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer import datasets
from trainer.errors import TrainerError
from trainer.training import checkpoint, distributed
from trainer.training.distributed import Place
from trainer.training.fit import LAST

RUN = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from torch import distributed
torch.set_num_threads(1)
from tests.trainer.small import ALPHADIFFRACT
import trainer.training.fit as fit
config = replace(ALPHADIFFRACT, epochs=1, samples_per_structure=1, batch_size=4, accumulate=2)
made = []
import trainer.training.state as state
build = state.build_optimiser
state.build_optimiser = lambda module, config: made.append(module) or build(module, config)
leave = fit.distributed.finish
def compare(place):
    mine = torch.cat([p.detach().flatten() for p in made[0].parameters()])
    both = [torch.empty_like(mine) for _ in range(2)]
    distributed.all_gather(both, mine)
    assert torch.equal(*both), "weights differ between processes"
    leave(place)
fit.distributed.finish = compare
import os
from trainer.data.location import Folder
listed, calls = Folder.names, []
def older_listing(self, folder):
    calls.append(folder)
    return listed(self, folder)[:3] if os.environ["RANK"] == "1" and len(calls) == 1 else listed(self, folder)
Folder.names = older_listing
outcome = fit.fit(config, Path(sys.argv[1]), Path(sys.argv[2]), device="cpu")
assert outcome.finished
"""


def run_in_two_processes(dataset: Path, folder: Path) -> None:
    """Train with a second process whose first listing of the ledger lacks shards."""
    script = folder / "run.py"
    script.write_text(RUN)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    root = Path(__file__).resolve().parents[2]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    run = subprocess.run(
        [*command, str(dataset), str(folder / "run")],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        cwd=root,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]


def test_processes_end_with_the_same_weights(patterns_dataset: Path, tmp_path: Path) -> None:
    run_in_two_processes(patterns_dataset, tmp_path)
    found = checkpoint.load(tmp_path / "run" / LAST)
    assert found.progress.shards == (0, 1, 2, 3, 4, 5)
    assert found.progress.step == 2  # 32 structures, two processes, batches of 4, two batches an update
    assert sorted(found.generators) == ["noise-0", "noise-1", "torch-0", "torch-1"]
    assert not torch.equal(found.generators["noise-0"], found.generators["noise-1"])


def test_one_validation_structure_is_enough_for_two_processes(tmp_path: Path) -> None:
    datasets.make(tmp_path / "d.zarr", train=16, validation=1, test=1)
    run_in_two_processes(tmp_path / "d.zarr", tmp_path)
    assert checkpoint.load(tmp_path / "run" / LAST).progress.best is not None


def test_one_process_sums_and_agrees_with_itself() -> None:
    here = Place(torch.device("cpu"))
    assert distributed.sum_over_processes({"a": torch.tensor(2), "b": torch.tensor(0.5)}, here) == {"a": 2.0, "b": 0.5}
    assert distributed.agree(True, here)
    assert not distributed.agree(False, here)
    assert list(distributed.gather({"x": torch.ones(1)}, here)) == ["x-0"]


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(TrainerError, match="expected cpu, cuda or cuda:N"):
        distributed.start("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(TrainerError, match="finds no CUDA device"):
            distributed.start("cuda:0")
