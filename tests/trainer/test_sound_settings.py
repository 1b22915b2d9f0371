"""Settings and datasets that cannot work end in one sentence, and outputs keep full precision."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.trainer import datasets
from tests.trainer.small import ALPHADIFFRACT, CRYSTALNET
from trainer.commands.app import app
from trainer.data.sampler import Sampler
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import load_models, refuse_other_instrument, structures_of_trained_groups
from trainer.models.alphadiffract import AlphaDiffract
from trainer.models.crystalnet import CrystalNet
from trainer.training import fit as fitting
from trainer.training.config import change
from trainer.training.datasets import agreed_shards, group_hashes
from trainer.training.distributed import Place
from trainer.training.fit import BEST, LAST, fit
from trainer.training.schedules import Constant, Cyclic


@pytest.fixture(scope="module")
def trained(patterns_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    fit(replace(ALPHADIFFRACT, epochs=1), patterns_dataset, out, device="cpu")
    return out


def test_lattices_are_not_quantised_under_autocast() -> None:
    torch.manual_seed(0)
    model = AlphaDiffract(ALPHADIFFRACT.model).eval()
    patterns = 100 * torch.rand(64, 2000)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        prediction = model(patterns)
    for values in prediction:
        assert values.dtype == torch.float32
    # Lengths of 0 to 20 A in bfloat16 steps of the logit would have few distinct values.
    assert len(prediction.lattice[:, 0].unique()) == 64


def test_densities_are_not_quantised_under_autocast() -> None:
    torch.manual_seed(0)
    model = CrystalNet(CRYSTALNET.model).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        density, _ = model(torch.rand(2, 1024), torch.rand(2, 118), torch.rand(2, 500, 3))
    assert density.dtype == torch.float32
    assert len(density.unique()) > 900


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("seed", "-1", "seed: expected 0 or more, found -1"),
        ("save_every_steps", "0", "save_every_steps: expected at least 1"),
        ("log_every_steps", "0", "log_every_steps: expected at least 1"),
        ("samples_per_structure", "0", "samples_per_structure: expected at least 1"),
        ("validation_samples", "0", "validation_samples: expected at least 1"),
    ],
)
def test_impossible_values_are_refused_by_name(path: str, value: str, part: str) -> None:
    with pytest.raises(TrainerError, match=part):
        change(ALPHADIFFRACT, path, value)


def test_one_crystal_is_no_batch_for_batch_normalisation() -> None:
    with pytest.raises(TrainerError, match="batch_size: expected at least 2"):
        replace(CRYSTALNET, batch_size=1)


@pytest.mark.parametrize("setting", ["model.kernels=[-3,9,9]", "model.channels=[16,24,16]", "model.strides=[8,0,4]"])
def test_a_network_that_cannot_be_built_is_one_sentence(setting: str, patterns_dataset: Path, tmp_path: Path) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(TrainerError, match="model"):
        fit(change(ALPHADIFFRACT, name, value), patterns_dataset, tmp_path / "run", device="cpu")


def test_every_schedule_can_be_chosen_by_name() -> None:
    assert change(replace(ALPHADIFFRACT, schedule=Cyclic()), "schedule", "Constant").schedule == Constant()
    assert isinstance(change(ALPHADIFFRACT, "schedule", "Cyclic").schedule, Cyclic)


def test_a_score_that_is_no_number_does_not_keep_later_weights_out(
    patterns_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([math.nan, 0.5, 0.2])
    monkeypatch.setattr(fitting, "_validate", lambda *_: ({}, next(scores)))
    outcome = fit(replace(ALPHADIFFRACT, epochs=3), patterns_dataset, tmp_path, device="cpu")
    assert outcome.progress.best == 0.5
    assert (tmp_path / BEST).exists()


def test_fewer_validation_structures_than_processes_are_no_error() -> None:
    rows = np.array([5, 9])
    parts = [Sampler(rows, 4, rank=rank, world=3, shuffle=False) for rank in range(3)]
    read = [[int(row) for pool in part.pools(0) for row in pool.rows] for part in parts]
    assert read == [[5], [9], []]
    with pytest.raises(ValueError, match="too few for 3 processes"):
        Sampler(rows, 4, world=3)


def test_all_processes_train_on_the_shards_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose listing is older looks again; one that never sees a shard says so instead of hanging."""
    datasets.make(tmp_path / "d.zarr", shards=3)
    dataset = open_dataset(tmp_path / "d.zarr")
    place = Place(torch.device("cpu"), rank=1, world=2)
    monkeypatch.setattr("trainer.training.distributed.same_for_all", lambda value, place: (0, 1))
    assert agreed_shards(dataset, place) == (0, 1)
    monkeypatch.setattr("trainer.training.distributed.same_for_all", lambda value, place: (0, 1, 4))
    with pytest.raises(TrainerError, match="process 1 does not see shard 4"):
        agreed_shards(dataset, place)


def test_patterns_of_another_instrument_are_refused(trained: Path, patterns_dataset: Path, tmp_path: Path) -> None:
    _, states = load_models([trained / LAST], torch.device("cpu"))
    refuse_other_instrument(states, open_dataset(patterns_dataset))
    lines = [{"wavelength_A": 1.5406, "weight": 1.0}]
    datasets.make(
        tmp_path / "cu.zarr", attributes={"instrument": {**datasets.ATTRIBUTES["instrument"], "lines": lines}}
    )
    with pytest.raises(TrainerError, match=r"with wavelengths in A \[0.619921\], found \[1.5406\]"):
        refuse_other_instrument(states, open_dataset(tmp_path / "cu.zarr"))
    ended = CliRunner().invoke(app, ["evaluate", str(trained / LAST), str(tmp_path / "cu.zarr"), "--device", "cpu"])
    assert ended.exit_code == 2
    assert "same instrument and range" in " ".join(ended.output.split())


def test_an_evaluation_says_how_much_of_it_was_trained_on(trained: Path, patterns_dataset: Path) -> None:
    _, states = load_models([trained / LAST], torch.device("cpu"))
    dataset = open_dataset(patterns_dataset)
    assert structures_of_trained_groups(states, dataset, dataset.rows("test")) == 0
    train = dataset.rows("train")
    assert structures_of_trained_groups(states, dataset, train) == len(train)
    assert len(np.unique(group_hashes(dataset, dataset.rows()))) == dataset.n_structures
    del states[0].dataset["train_groups"]
    assert structures_of_trained_groups(states, dataset, train) is None


def test_only_one_of_several_processes_evaluates(
    trained: Path, patterns_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    ended = CliRunner().invoke(app, ["evaluate", str(trained / LAST), str(patterns_dataset), "--device", "cpu"])
    assert ended.exit_code == 0
    assert ended.output == ""
