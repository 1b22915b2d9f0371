"""Evaluation of trained checkpoints, alone and as ensembles, with reports and plots."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer import small
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.densities import evaluate_crystalnet
from trainer.evaluation.lattices import evaluate_alphadiffract
from trainer.evaluation.metrics import LATTICE, Z_975, t_975
from trainer.evaluation.models import load_models
from trainer.evaluation.plots import plot_attention, plot_density_evaluation, plot_lattice_evaluation
from trainer.evaluation.tables import evaluation_tables
from trainer.models.alphadiffract import Prediction
from trainer.training.distributed import Place
from trainer.training.fit import BEST, fit
from trainer.training.gemd import hop_matrix

CPU = Place(torch.device("cpu"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, patterns_dataset: Path, densities_dataset: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    few = replace(small.ALPHADIFFRACT, epochs=3, samples_per_structure=2)
    fit(few, patterns_dataset, folder / "a", device="cpu")
    fit(replace(few, seed=1), patterns_dataset, folder / "b", device="cpu")
    fit(replace(small.CRYSTALNET, epochs=2), densities_dataset, folder / "c", device="cpu")
    return {name: folder / name / BEST for name in "abc"}


def test_an_ensemble_is_judged_beside_its_baselines(
    runs: dict[str, Path], patterns_dataset: Path, tmp_path: Path
) -> None:
    models, states = load_models([runs["a"], runs["b"]], CPU.device)
    configs = [s.config for s in states]
    dataset = open_dataset(patterns_dataset)
    found = evaluate_alphadiffract(models, configs, dataset, CPU, samples=3)
    report = found.report
    assert (report["structures"], report["patterns"], report["models"]) == (6, 18, 2)
    assert found.confusion.sum() == 18
    assert report["crystal_system"]["accuracy"] == pytest.approx(np.trace(found.confusion) / 18)
    assert report["crystal_system"]["half_width"] > 0
    assert sum(report["graph_distance"]["share"]) == pytest.approx(1.0)
    assert report["lattice"]["alpha"]["r2"] is None  # every angle of this dataset is 90 degrees
    assert report["lengths"]["mae"] == pytest.approx(np.mean([report["lattice"][x]["mae"] for x in "abc"]))
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert all("|" in table.markdown() for table in evaluation_tables(report))
    for path in plot_lattice_evaluation(found, tmp_path):
        assert path.stat().st_size > 5000


def test_evaluation_repeats_and_noise_can_be_left_out(runs: dict[str, Path], patterns_dataset: Path) -> None:
    models, states = load_models([runs["a"]], CPU.device)
    configs = [s.config for s in states]
    dataset = open_dataset(patterns_dataset)
    first, again = (evaluate_alphadiffract(models, configs, dataset, CPU).report for _ in range(2))
    assert again == first
    clean = evaluate_alphadiffract(models, configs, dataset, CPU, noise=False).report
    assert clean["lattice"] != first["lattice"]
    sticks = evaluate_alphadiffract(models, configs, dataset, CPU, input="sticks", samples=6)
    assert sticks.report["patterns"] == 36


class Recorded(torch.nn.Module):
    """Keeps every prediction of a network."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.found: list[Prediction] = []

    def forward(self, pattern: torch.Tensor) -> Prediction:
        self.found.append(self.model(pattern))
        return self.found[-1]

    def joined(self, name: str) -> np.ndarray:
        return torch.cat([getattr(p, name) for p in self.found]).double().numpy()


def test_running_sums_give_the_figures_of_whole_arrays(runs: dict[str, Path], patterns_dataset: Path) -> None:
    """The equations over all predictions at once, as they were computed before they were streamed."""
    models, states = load_models([runs["a"], runs["b"]], CPU.device)
    recorded = [Recorded(model) for model in models]
    dataset = open_dataset(patterns_dataset)
    configs = [s.config for s in states]
    found = evaluate_alphadiffract(recorded, configs, dataset, CPU, split="train", samples=3, batch_size=7)
    report = found.report
    rows = np.repeat(dataset.rows("train"), 3)
    index = np.unique(rows, return_inverse=True)[1]

    def per_structure(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, values) / np.bincount(index)

    def softmax(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    for name in ("crystal_system", "space_group"):
        p = np.stack([softmax(model.joined(name)) for model in recorded])
        truth = dataset.column(name)[rows].astype(np.int64) - 1
        mean = p.mean(axis=0)
        correct = mean.argmax(axis=1) == truth
        entry = report[name]
        assert entry["accuracy"] == pytest.approx(correct.mean())
        assert entry["majority_baseline"] == pytest.approx((truth == np.bincount(truth).argmax()).mean())
        spread = p[:, np.arange(len(truth)), mean.argmax(axis=1)].std(axis=0, ddof=1)
        assert entry["ensemble_half_width"] == pytest.approx(Z_975 * np.sqrt((spread**2).sum()) / len(truth), rel=1e-5)
        n = len(np.unique(rows))
        wanted = t_975(n - 1) * per_structure(correct).std(ddof=1) / np.sqrt(n)
        assert entry["augmentation_half_width"] == pytest.approx(wanted)
        if name == "space_group":
            top = (np.argsort(-mean, axis=1)[:, :5] == truth[:, None]).any(axis=1)
            assert entry["top5_accuracy"] == pytest.approx(top.mean())
            steps = hop_matrix()[mean.argmax(axis=1), truth]
            assert report["graph_distance"]["share"][0] == pytest.approx((steps == 0).mean())
            of_system = {
                label: correct[dataset.column("crystal_system")[rows] == value].mean()
                for value, label in dataset.vocabulary("crystal_system").items()
                if (dataset.column("crystal_system")[rows] == value).any()
            }
            assert report["space_group_accuracy_by_crystal_system"] == pytest.approx(of_system)
    lattice = np.stack([model.joined("lattice") for model in recorded])
    centre = dataset.column("niggli")[dataset.rows("train")].mean(axis=0)
    for k, name in enumerate(LATTICE):
        prediction = lattice[:, :, k].mean(axis=0)
        y, y_hat = per_structure(dataset.column("niggli")[rows, k]), per_structure(prediction)
        within = np.bincount(index, (prediction - y_hat[index]) ** 2) / 2
        sigma = np.sqrt(per_structure(lattice[:, :, k].var(axis=0, ddof=1)) + within)
        entry, total = report["lattice"][name], ((y - y.mean()) ** 2).sum()
        assert entry["mae"] == pytest.approx(np.abs(y_hat - y).mean())
        assert entry["mae_sigma"] == pytest.approx(np.sqrt((sigma**2).sum()) / len(y), rel=1e-5)
        assert entry["mape_percent"] == pytest.approx(100 * (np.abs(y_hat - y) / y).mean())
        assert entry["mape_sigma"] == pytest.approx(100 / len(y) * np.sqrt(((sigma / y) ** 2).sum()), rel=1e-5)
        assert entry["mean_baseline_mae"] == pytest.approx(np.abs(y - centre[k]).mean())
        if k < 3:
            assert entry["r2"] == pytest.approx(1 - ((y_hat - y) ** 2).sum() / total)
            wanted = np.sqrt(((2 * (y_hat - y) / total * sigma) ** 2).sum())
            assert entry["r2_sigma"] == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(found.shown_truth, dataset.column("niggli")[dataset.rows("train")])


class Constant(torch.nn.Module):
    """A network that costs nothing."""

    def forward(self, pattern: torch.Tensor) -> Prediction:
        n = len(pattern)
        return Prediction(torch.zeros(n, 7), torch.zeros(n, 230), torch.full((n, 6), 5.0))


def test_memory_does_not_grow_with_the_number_of_patterns(patterns_dataset: Path) -> None:
    """Ten models: probabilities of 4,800 patterns would be 91 MB."""
    dataset = open_dataset(patterns_dataset)
    models, configs = [Constant()] * 10, [replace(small.ALPHADIFFRACT, input="sticks", workers=1)] * 10
    peaks = {}
    for samples in (100, 25, 100, 800):
        tracemalloc.start()
        report = evaluate_alphadiffract(models, configs, dataset, CPU, samples=samples, batch_size=25).report
        peaks[samples] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report["patterns"] == 6 * samples
    assert peaks[800] < peaks[100] + 1_000_000


def test_densities_are_judged_by_one_sample_and_by_the_best(
    runs: dict[str, Path], densities_dataset: Path, tmp_path: Path
) -> None:
    models, states = load_models([runs["c"]], CPU.device)
    dataset = open_dataset(densities_dataset)
    found = evaluate_crystalnet(models, [s.config for s in states], dataset, CPU, guesses=2, points=10, batch_size=4)
    report = found.report
    assert report["structures"] == 6
    assert report["ssim"]["mean"] <= report["rotated_ssim"]["mean"] <= report["best_ssim"]["mean"]
    assert report["psnr"]["mean"] <= report["rotated_psnr"]["mean"] <= report["best_psnr"]["mean"]
    assert len(found.examples) == 4
    row, truth, _ = found.examples[0]
    np.testing.assert_array_equal(truth, dataset.density(row)[::5, ::5, ::5])
    assert len(evaluation_tables(report)[0].rows) == 4
    for path in plot_density_evaluation(found, tmp_path):
        assert path.stat().st_size > 5000


def test_attention_is_drawn(tmp_path: Path) -> None:
    x = np.linspace(5, 20, 200)
    path = plot_attention(x, np.abs(np.sin(x)), {"crystal_system": np.linspace(0, 1, 200)}, "a", tmp_path / "a.png")
    assert path.stat().st_size > 5000


def test_mixed_ensembles_and_empty_sides_are_refused(
    runs: dict[str, Path], patterns_dataset: Path, densities_dataset: Path
) -> None:
    with pytest.raises(TrainerError, match="models of one kind"):
        load_models([runs["a"], runs["c"]], CPU.device)
    models, states = load_models([runs["a"]], CPU.device)
    dataset = open_dataset(patterns_dataset)
    with pytest.raises(TrainerError, match="expected a split out of train"):
        evaluate_alphadiffract(models, [s.config for s in states], dataset, CPU, split="holdout")
    with pytest.raises(TrainerError, match="4 are stored"):
        evaluate_alphadiffract(models, [s.config for s in states], dataset, CPU, samples=9)
    nets, states = load_models([runs["c"]], CPU.device)
    with pytest.raises(TrainerError, match="no structure that crystalnet"):
        evaluate_crystalnet(nets, [s.config for s in states], dataset, CPU)
    with pytest.raises(TrainerError, match="divisor of 50"):
        evaluate_crystalnet(nets, [s.config for s in states], open_dataset(densities_dataset), CPU, points=9)
