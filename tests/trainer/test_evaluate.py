"""Evaluation of trained checkpoints, alone and as ensembles, with reports and plots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer import small
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.evaluate import evaluate_alphadiffract, evaluate_crystalnet, load_models
from trainer.evaluation.plots import plot_attention, plot_density_evaluation, plot_lattice_evaluation
from trainer.evaluation.tables import evaluation_tables
from trainer.training.distributed import Place
from trainer.training.fit import BEST, fit

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
    assert found.crystal_system.shape == (2, 18, 7)
    truth = dataset.column("crystal_system")[found.structure] - 1
    mean = found.crystal_system.mean(axis=0).argmax(axis=1)
    assert report["crystal_system"]["accuracy"] == pytest.approx((mean == truth).mean())
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
    noisy = [evaluate_alphadiffract(models, configs, dataset, CPU).lattice for _ in range(2)]
    np.testing.assert_array_equal(*noisy)
    clean = evaluate_alphadiffract(models, configs, dataset, CPU, noise=False)
    assert not np.array_equal(clean.lattice, noisy[0])
    sticks = evaluate_alphadiffract(models, configs, dataset, CPU, input="sticks", samples=6)
    assert sticks.report["patterns"] == 36


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
