"""Training: learns, resumes to the same weights, follows a growing dataset, refuses nonsense before writing."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer import datasets, small
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import load_models
from trainer.models.alphadiffract import Prediction
from trainer.training import checkpoint
from trainer.training.class_prior import logit_adjustments
from trainer.training.config import AlphaDiffractTraining, Config, CrystalNetTraining
from trainer.training.datasets import build_task, choose_rows, open_split
from trainer.training.distributed import Place
from trainer.training.fit import BEST, LAST, fit
from trainer.training.lattices import lattice_statistics
from trainer.training.tasks import AlphaDiffractTask

MODELS = pytest.mark.parametrize("kind", ["patterns", "sticks", "densities"])


def small_config(kind: str, **more: object) -> Config:
    if kind == "densities":
        return replace(small.CRYSTALNET, **more)
    return replace(small.ALPHADIFFRACT, input=kind, **more)


@pytest.fixture
def dataset(kind: str, patterns_dataset: Path, densities_dataset: Path) -> Path:
    return densities_dataset if kind == "densities" else patterns_dataset


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(out / LAST).model


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class StopAt:
    """A reporter that sends SIGTERM after some steps."""

    def __init__(self, step: int) -> None:
        self.left = step

    def begin(self, *_: object) -> None: ...

    def epoch(self, *_: object) -> None: ...

    def advance(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


@MODELS
@pytest.mark.parametrize("step", [1, 3])
def test_stopped_and_resumed_training_ends_with_the_same_weights(
    kind: str, dataset: Path, tmp_path: Path, step: int
) -> None:
    config = small_config(kind, deterministic=True, epochs=2 if kind != "densities" else 3)
    config = replace(config, samples_per_structure=1) if isinstance(config, AlphaDiffractTraining) else config
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert fit(config, dataset, whole, device="cpu").finished
    stopped = fit(config, dataset, parts, device="cpu", reporter=StopAt(step))
    assert not stopped.finished
    assert stopped.progress.step == step
    assert not same(weights(whole), weights(parts))
    assert fit(config, dataset, parts, resume=True, device="cpu").finished
    assert same(weights(whole), weights(parts))
    a, b = checkpoint.load(whole / LAST), checkpoint.load(parts / LAST)
    assert replace(a.progress, seconds=0.0) == replace(b.progress, seconds=0.0)
    assert all(torch.equal(a.generators[name], b.generators[name]) for name in a.generators)
    assert (whole / "log.csv").read_text().count("loss_total") == (parts / "log.csv").read_text().count("loss_total")


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.trainer.small import ALPHADIFFRACT
from dataclasses import replace
from trainer.training.fit import fit
torch.set_num_threads(1)
class Kill:
    steps = 0
    def begin(self, *_): ...
    def epoch(self, *_): ...
    def advance(self, *_):
        self.steps += 1
        if self.steps == 5: os.kill(os.getpid(), signal.SIGKILL)
config = replace(ALPHADIFFRACT, samples_per_structure=2, deterministic=True, save_every_steps=2)
fit(config, Path(sys.argv[1]), Path(sys.argv[2]), device="cpu", reporter=Kill(), resume=sys.argv[3] == "resume")
"""


def test_training_killed_outright_resumes_to_the_same_weights(patterns_dataset: Path, tmp_path: Path) -> None:
    config = replace(small.ALPHADIFFRACT, samples_per_structure=2, deterministic=True, save_every_steps=2)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run = subprocess.run([sys.executable, "-c", KILLED, str(patterns_dataset), str(killed), "new"], timeout=120)
    assert run.returncode == -signal.SIGKILL
    assert checkpoint.load(killed / LAST).progress.step == 4
    fit(config, patterns_dataset, whole, device="cpu")
    fit(config, patterns_dataset, killed, device="cpu", resume=True)
    assert same(weights(whole), weights(killed))


@pytest.mark.parametrize("kind", ["patterns", "sticks"])
def test_alphadiffract_learns_32_structures_by_heart(kind: str, dataset: Path, tmp_path: Path) -> None:
    model = replace(small.ALPHADIFFRACT.model, drop_path=0.0)
    config = small_config(kind, model=model, epochs=40, batch_size=8, samples_per_structure=1, noise=False)
    config = replace(config, validate_every_epochs=40)
    outcome = fit(config, dataset, tmp_path / "run", device="cpu")
    assert outcome.finished
    last = final_losses(tmp_path / "run")
    assert last["loss_crystal_system"] < 0.05
    assert last["loss_space_group"] < 0.1
    assert last["loss_lattice"] < 3.0


def test_crystalnet_learns_32_structures_by_heart(densities_dataset: Path, tmp_path: Path) -> None:
    config = replace(
        small.CRYSTALNET,
        epochs=100,
        batch_size=32,
        kl_weight=1e-4,
        noise=False,
        learning_rate=4e-3,
        validate_every_epochs=100,
    )
    outcome = fit(config, densities_dataset, tmp_path / "run", device="cpu")
    assert outcome.finished
    spread = np.mean([np.abs(d - d.mean()).mean() for d in map(datasets.density, range(32))])
    assert final_losses(tmp_path / "run")["loss_density"] < 0.3 * spread


def final_losses(out: Path) -> dict[str, float]:
    with (out / "log.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["name"].startswith("loss_")]
    last = max(int(row["step"]) for row in rows)
    return {row["name"]: float(row["value"]) for row in rows if int(row["step"]) == last}


def test_accumulating_batches_equals_a_larger_batch(patterns_dataset: Path, tmp_path: Path) -> None:
    model = replace(small.ALPHADIFFRACT.model, drop_path=0.0)
    config = replace(small.ALPHADIFFRACT, model=model, noise=False, epochs=1, samples_per_structure=1)
    fit(replace(config, batch_size=32), patterns_dataset, tmp_path / "large", device="cpu")
    fit(replace(config, batch_size=8, accumulate=4), patterns_dataset, tmp_path / "small", device="cpu")
    large, split = weights(tmp_path / "large"), weights(tmp_path / "small")
    assert all(torch.allclose(large[name], split[name], atol=2e-4) for name in large)


def test_the_best_weights_are_kept_beside_the_last(patterns_dataset: Path, tmp_path: Path) -> None:
    outcome = fit(small.ALPHADIFFRACT, patterns_dataset, tmp_path / "run", device="cpu")
    best = checkpoint.load(tmp_path / "run" / BEST)
    assert best.progress.best == outcome.progress.best
    assert set(outcome.values) >= {"validation_crystal_system_accuracy", "validation_length_mae_A"}


def test_a_dataset_in_the_making_is_followed_between_epochs(tmp_path: Path) -> None:
    path = tmp_path / "growing"
    layout = datasets.make(path, shards=3)
    seen: list[tuple[int, ...]] = []

    class Grow:
        def begin(self, *_: object) -> None: ...

        def advance(self, *_: object) -> None: ...

        def epoch(self, epoch: int, *_: object) -> None:
            if epoch <= 2:
                datasets.commit(path, layout, 2 + epoch)
            seen.append(checkpoint.load(tmp_path / "run" / LAST).progress.shards)

    config = replace(small.ALPHADIFFRACT, follow=True, epochs=4, samples_per_structure=1)
    outcome = fit(config, path, tmp_path / "run", device="cpu", reporter=Grow())
    assert seen == [(0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4)]
    assert outcome.progress.shards == (0, 1, 2, 3, 4)
    still = replace(config, follow=False, epochs=2)
    assert fit(still, path, tmp_path / "still", device="cpu").progress.shards == (0, 1, 2, 3, 4)


def test_a_follower_that_is_resumed_twice_goes_on_with_the_shards_of_its_epoch(tmp_path: Path) -> None:
    path, out = tmp_path / "growing", tmp_path / "run"
    layout = datasets.make(path, shards=3)
    config = replace(small.ALPHADIFFRACT, follow=True, epochs=1, samples_per_structure=1, batch_size=4)
    fit(config, path, out, device="cpu")
    datasets.commit(path, layout, 3)
    for _ in range(2):  # the first resume begins an epoch with the new shard, the second goes on with it
        assert not fit(replace(config, epochs=3), path, out, device="cpu", resume=True, reporter=StopAt(1)).finished
        progress = checkpoint.load(out / LAST).progress
        assert progress.batch > 0
        assert progress.shards == (0, 1, 2, 3)


def test_balanced_sampling_and_ablated_composition_train(
    patterns_dataset: Path, densities_dataset: Path, tmp_path: Path
) -> None:
    balanced = replace(small.ALPHADIFFRACT, balance="space-group", epochs=1, samples_per_structure=1)
    assert fit(balanced, patterns_dataset, tmp_path / "balanced", device="cpu").finished
    for composition in ("elements", "drop-one", "none"):
        model = replace(small.CRYSTALNET.model, composition=composition)
        config = replace(small.CRYSTALNET, model=model, epochs=1)
        assert fit(config, densities_dataset, tmp_path / composition, device="cpu").finished


def refused(config: Config, dataset: Path, out: Path, message: str, *, resume: bool = False) -> None:
    before = sorted(out.rglob("*")) if out.exists() else None
    with pytest.raises(TrainerError, match=message):
        fit(config, dataset, out, device="cpu", resume=resume)
    assert (sorted(out.rglob("*")) if out.exists() else None) == before


def test_nonsense_is_refused_before_anything_is_written(
    tmp_path: Path, patterns_dataset: Path, densities_dataset: Path
) -> None:
    out = tmp_path / "run"
    refused(small.ALPHADIFFRACT, tmp_path / "nowhere", out, "no dataset here")
    refused(AlphaDiffractTraining(), patterns_dataset, out, "expected patterns of 8192 points, found 2000")
    refused(CrystalNetTraining(), patterns_dataset, out, "structures with a density")
    refused(replace(small.CRYSTALNET, crystal_systems=(1,)), densities_dataset, out, "structures with a density")
    refused(replace(small.ALPHADIFFRACT, samples_per_structure=5), patterns_dataset, out, "the 4 stored per structure")
    refused(small.ALPHADIFFRACT, patterns_dataset, out, "no checkpoint here", resume=True)
    with pytest.raises(TrainerError, match="expected cpu, cuda or cuda:N"):
        fit(small.ALPHADIFFRACT, patterns_dataset, out, device="gpu")
    assert not out.exists()


def test_a_dataset_without_a_side_of_the_split_is_refused(tmp_path: Path) -> None:
    datasets.make(tmp_path / "train only", validation=0)
    refused(small.ALPHADIFFRACT, tmp_path / "train only", tmp_path / "run", "in the split 'validation', found 0")


def test_labels_out_of_range_and_missing_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = datasets.labels

    def with_(name: str, value: object) -> object:
        def changed(*args: object) -> dict[str, np.ndarray]:
            columns = labels(*args)
            columns[name][5] = value
            return columns

        return changed

    monkeypatch.setattr(datasets, "labels", with_("crystal_system", 9))
    datasets.make(tmp_path / "system nine")
    refused(small.ALPHADIFFRACT, tmp_path / "system nine", tmp_path / "run", "crystal_system is 9, expected 1 to 7")
    monkeypatch.setattr(datasets, "labels", with_("niggli", np.nan))
    datasets.make(tmp_path / "no cell")
    refused(small.ALPHADIFFRACT, tmp_path / "no cell", tmp_path / "run", "expected six positive")
    monkeypatch.undo()
    rho = datasets.density
    monkeypatch.setattr(datasets, "density", lambda row: rho(row) * np.float32(np.nan))
    datasets.make(tmp_path / "nan", densities=True)
    refused(small.CRYSTALNET, tmp_path / "nan", tmp_path / "run", "density has values that are not finite")


def test_a_score_that_is_no_number_is_named(
    patterns_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlphaDiffractTask, "summarise", lambda *_: ({"validation_loss": np.nan}, np.nan))
    config = replace(small.ALPHADIFFRACT, epochs=1, samples_per_structure=1)
    with pytest.raises(
        TrainerError, match=r"step 2 is nan, from which no best.pt can be chosen \(validation_loss nan\)"
    ):
        fit(config, patterns_dataset, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / BEST).exists()


@pytest.mark.parametrize("lacking", [{"niggli": np.nan}, {"space_group": 0, "crystal_system": 0}])
def test_a_measured_scan_without_a_label_has_no_part_in_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: dict[str, float]
) -> None:
    datasets.make(tmp_path / "d")
    dataset = open_dataset(tmp_path / "d")
    train = dataset.rows("train")
    columns = {name: dataset.column(name).copy() for name in ("niggli", "space_group", "crystal_system", "split")}
    wanted = columns["niggli"][train[1:]].astype(np.float64)
    for name, value in lacking.items():
        columns[name][train[0]] = value
    monkeypatch.setattr(type(dataset), "measured", True)
    monkeypatch.setattr(type(dataset), "column", lambda _, name: columns[name])
    assert choose_rows(small.ALPHADIFFRACT, dataset, "train").tolist() == train[1:].tolist()
    found = lattice_statistics(dataset, torch.device("cpu"))
    np.testing.assert_allclose(found.mean.numpy(), wanted.mean(axis=0), rtol=1e-5)
    adjustments = logit_adjustments(dataset, "space-group", 0.0, torch.device("cpu"))
    drawn = {system: float(adjustments.crystal_system[system - 1]) for system, _ in datasets.SYSTEMS}
    counts = np.bincount(columns["crystal_system"][train[1:]])
    expected = {system: np.log(len(wanted) / 3 / counts[system]) for system in drawn}
    assert drawn == pytest.approx(expected, abs=1e-5)


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings_or_data(
    patterns_dataset: Path, densities_dataset: Path, tmp_path: Path
) -> None:
    config = replace(small.ALPHADIFFRACT, epochs=1, samples_per_structure=1)
    out = tmp_path / "run"
    fit(config, patterns_dataset, out, device="cpu")
    refused(config, patterns_dataset, out, "resume it with --resume")
    refused(replace(config, learning_rate=1.0), patterns_dataset, out, "other values of learning_rate", resume=True)
    refused(small.CRYSTALNET, densities_dataset, out, "expected a checkpoint of crystalnet", resume=True)
    datasets.make(tmp_path / "other", train=10)
    refused(config, tmp_path / "other", out, "trained on another dataset", resume=True)
    assert fit(replace(config, epochs=2), patterns_dataset, out, device="cpu", resume=True).progress.epoch == 2


FEW_STRUCTURES = replace(
    small.ALPHADIFFRACT,
    lattice_loss="standardised-mae",
    best_by="all",
    cell_strain=0.05,
    samples_per_structure=1,
    model=replace(
        small.ALPHADIFFRACT.model,
        input_pool=2,
        strides=(4, 4, 4),
        standardise_input=True,
        lattice_start="training",
    ),
)


@pytest.mark.parametrize("kind", ["patterns", "sticks"])
def test_what_few_structures_need_trains_resumes_and_is_kept_with_the_weights(
    kind: str, patterns_dataset: Path, tmp_path: Path
) -> None:
    config = replace(FEW_STRUCTURES, input=kind, deterministic=True)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    outcome = fit(config, patterns_dataset, whole, device="cpu")
    assert not fit(config, patterns_dataset, parts, device="cpu", reporter=StopAt(1)).finished
    assert fit(config, patterns_dataset, parts, resume=True, device="cpu").finished
    assert same(weights(whole), weights(parts))
    kept = checkpoint.load(whole / LAST)
    assert kept.config == config
    rows = open_dataset(patterns_dataset).rows("train")
    cells = np.array([datasets.cell(int(row))[2] for row in rows])
    upper = np.array([20.0] * 3 + [180.0] * 3)
    np.testing.assert_allclose(
        kept.model["start"], np.log(cells.mean(axis=0) / (upper - cells.mean(axis=0))), rtol=1e-5
    )
    (model,), _ = load_models([whole / BEST], torch.device("cpu"))
    assert torch.equal(model.start, kept.model["start"])
    assert outcome.progress.best is not None


def test_the_best_by_all_is_the_accuracies_less_the_standardised_lattice_error(patterns_dataset: Path) -> None:
    dataset = open_dataset(patterns_dataset)
    task = build_task(FEW_STRUCTURES, dataset, Place(torch.device("cpu")))
    assert isinstance(task, AlphaDiffractTask)
    batch = next(open_split(FEW_STRUCTURES, dataset, "validation", Place(torch.device("cpu")), None).loader.epoch(0))

    class Fixed(torch.nn.Module):
        def forward(self, pattern: torch.Tensor) -> Prediction:
            n = len(pattern)
            right = torch.nn.functional.one_hot(batch.crystal_system, 7).float()
            return Prediction(right, torch.zeros(n, 230), batch.lattice + torch.tensor([0.3, 0, 0, 0, 0, 2.0]))

    sums = {name: float(x) for name, x in task.validate(Fixed(), [batch], torch.Generator().manual_seed(0)).items()}
    means, score = task.summarise(sums)
    cells = np.array([datasets.cell(int(row))[2] for row in dataset.rows("train")])
    deviation = np.maximum(cells.std(axis=0), [0.1, 0.1, 0.1, 1.0, 1.0, 1.0])
    expected = (0.3 / deviation[0] + 2.0 / deviation[5]) / 6
    assert means["validation_crystal_system_accuracy"] == 1.0
    assert score == pytest.approx(1.0 + means["validation_space_group_accuracy"] - expected, rel=1e-5)
    assert replace(task, config=small.ALPHADIFFRACT).summarise(sums)[1] == pytest.approx(score + expected)


def test_a_mean_lattice_outside_of_the_bounds_is_refused(patterns_dataset: Path, tmp_path: Path) -> None:
    model = replace(FEW_STRUCTURES.model, length_bounds_A=(0.0, 5.0))
    refused(replace(FEW_STRUCTURES, model=model), patterns_dataset, tmp_path / "run", "outside the bounds")


def test_a_loss_that_is_not_a_number_stops_the_run(patterns_dataset: Path, tmp_path: Path) -> None:
    config = replace(small.ALPHADIFFRACT, learning_rate=1e30)
    with pytest.raises(TrainerError, match="not a finite number"):
        fit(config, patterns_dataset, tmp_path / "run", device="cpu")
