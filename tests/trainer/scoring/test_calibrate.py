"""`trainer calibrate`: probabilities that match how often the answers are right, kept in the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.trainer import datasets
from tests.trainer.scoring.test_evaluate import measured, models
from tests.trainer.small import ALPHADIFFRACT
from trainer.commands.app import app
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import load_models
from trainer.evaluation.temperature import CALIBRATION, fit_calibration
from trainer.prediction.api import load
from trainer.prediction.calibrate import calibrate
from trainer.prediction.scoring.evaluate import evaluate_scans
from trainer.training import checkpoint
from trainer.training.fit import BEST, fit

__all__ = ["measured", "models"]


def samples(temperature: float, shift: list[float], n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` too large, and truths drawn from the right ones with a shifted prior."""
    rng = np.random.default_rng(0)
    right = rng.normal(size=(n, 4))
    moved = right + np.array(shift)
    probability = np.exp(moved) / np.exp(moved).sum(axis=1, keepdims=True)
    truth = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return right * temperature, truth


def test_a_known_temperature_is_found() -> None:
    logits, truth = samples(2.5, [0, 0, 0, 0])
    found = fit_calibration(logits, truth, prior=False)
    assert found.temperature == pytest.approx(2.5, rel=0.1)
    assert found.after < found.before
    assert not found.bias.any()


def test_a_shifted_prior_is_found_beside_the_temperature() -> None:
    logits, truth = samples(2.0, [1.0, 0.0, 0.0, -1.0])
    found = fit_calibration(logits, truth)
    assert found.bias[0] > 0.3
    assert found.bias[3] < -0.3
    assert found.after < fit_calibration(logits, truth, prior=False).after


def test_logits_that_are_right_stay_as_they_are() -> None:
    logits, truth = samples(1.0, [0, 0, 0, 0])
    found = fit_calibration(logits, truth)
    assert found.temperature == pytest.approx(1.0, rel=0.06)
    assert np.abs(found.bias).max() < 0.1


@pytest.fixture(scope="module")
def trained(patterns_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit(replace(ALPHADIFFRACT, epochs=1, samples_per_structure=1), patterns_dataset, folder, device="cpu")
    return folder / BEST


def test_the_checkpoint_keeps_it_and_it_can_be_switched_off(trained: Path, patterns_dataset: Path) -> None:
    out = trained.with_name("calibrated.pt")
    arguments = ["calibrate", str(trained), str(patterns_dataset), "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    stored = checkpoint.load(out).dataset[CALIBRATION]
    assert stored["facts"]["split"] == "validation"
    pattern = torch.rand(3, 2000, generator=torch.Generator().manual_seed(0))
    (plain,), _ = load_models([trained], torch.device("cpu"))
    (with_it,), _ = load_models([out], torch.device("cpu"))
    (without,), _ = load_models([out], torch.device("cpu"), calibrated=False)
    head = stored["space_group"]
    expected = plain(pattern).space_group / head["temperature"] + head["bias"]
    torch.testing.assert_close(with_it(pattern).space_group, expected.float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(without(pattern).space_group, plain(pattern).space_group)
    torch.testing.assert_close(with_it(pattern).lattice, plain(pattern).lattice)
    assert load(out, "cpu").checkpoint.dataset[CALIBRATION]["facts"]["patterns"] > 0  # type: ignore[union-attr]


def test_measured_scans_calibrate_too(models: list[Path], measured: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.pt"
    heads = calibrate(models[0], open_dataset(measured), out, split="test", device="cpu")
    assert heads["space_group"].after <= heads["space_group"].before
    dataset = open_dataset(measured)
    before = evaluate_scans([out], dataset, device="cpu", calibrated=False).report["measured"]["all"]["space_group"]
    after = evaluate_scans([out], dataset, device="cpu").report["measured"]["all"]["space_group"]
    assert after["negative_log_likelihood"] < before["negative_log_likelihood"]


def test_mistakes_are_sentences(trained: Path, patterns_dataset: Path, measured: Path, tmp_path: Path) -> None:
    dataset = open_dataset(patterns_dataset)
    with pytest.raises(TrainerError, match="exists already"):
        calibrate(trained, dataset, trained, device="cpu")
    with pytest.raises(TrainerError, match="expected a split that the model was not trained on"):
        calibrate(trained, dataset, tmp_path / "a.pt", split="train", device="cpu")
    state = checkpoint.load(trained)
    broken = {**state.dataset, CALIBRATION: {"crystal_system": {"temperature": 0.0, "bias": torch.zeros(7)}}}
    checkpoint.save(tmp_path / "broken.pt", replace(state, dataset=broken))
    with pytest.raises(TrainerError, match="its calibration of crystal_system is malformed"):
        load(tmp_path / "broken.pt", "cpu")


def test_a_dataset_of_reflections_calibrates_what_reads_reflections(trained: Path, tmp_path: Path) -> None:
    datasets.make(tmp_path / "sticks", patterns=False)
    dataset = open_dataset(tmp_path / "sticks")
    with pytest.raises(TrainerError, match=r"has reflections only.*datagen render"):
        calibrate(trained, dataset, tmp_path / "a.pt", device="cpu")
    state = checkpoint.load(trained)
    checkpoint.save(tmp_path / "sticks.pt", replace(state, config=replace(state.config, input="sticks")))
    heads = calibrate(tmp_path / "sticks.pt", dataset, tmp_path / "b.pt", device="cpu")
    assert heads["space_group"].after <= heads["space_group"].before
