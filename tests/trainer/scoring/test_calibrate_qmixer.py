"""QMixer's temperature: found from scans, folded into its weights, stated in their facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.trainer.scoring.test_calibrate import samples
from tests.trainer.scoring.test_evaluate import measured
from tests.trainer.test_qmixer_predict import exported
from trainer.commands.app import app
from trainer.data.store import Dataset, open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.temperature import fit_temperature
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.calibrate_qmixer import at_temperature, calibrate_qmixer
from trainer.prediction.qmixer import load_weights, predict_inputs
from trainer.prediction.scoring.answers import qmixer_inputs

__all__ = ["exported", "measured"]


def test_a_known_temperature_is_found_from_classes_and_their_systems() -> None:
    logits, truth = samples(2.5, [0, 0, 0, 0])
    found = fit_temperature(logits[None], truth, (0, 1, 3))
    assert found.temperature == pytest.approx(2.5, rel=0.06)
    assert found.after < found.before


def test_the_temperature_is_that_of_views_which_are_averaged_afterwards() -> None:
    """Truths drawn from the mean over views of probabilities at temperature 2."""
    rng = np.random.default_rng(1)
    logits = 6.0 * rng.normal(size=(3, 20_000, 4))
    powers = np.exp(logits / 2.0)
    probability = (powers / powers.sum(axis=2, keepdims=True)).mean(axis=0)
    truth = (probability.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(logits, truth, (0, 1, 3)).temperature == pytest.approx(2.0, rel=0.06)
    averaged = np.log((np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)).mean(axis=0))
    assert fit_temperature(averaged[None], truth, (0, 1, 3)).temperature != pytest.approx(2.0, rel=0.15)


def test_logits_are_divided_and_lattices_kept(exported: Path) -> None:
    weights = load_weights(exported)
    warm = at_temperature(at_temperature(weights, 2.0, {}), 1.5, {"scans": 7})
    inputs = torch.rand(3, 2, 2048)
    with torch.no_grad():
        before, after = weights.model(inputs), warm.model(inputs)
    corrected = (before.space_group - weights.log_prior) / 3.0
    torch.testing.assert_close(after.space_group - warm.log_prior, corrected)
    assert torch.equal(before.lattice, after.lattice)
    assert warm.facts["calibration"] == {"temperature": 3.0, "scans": 7}
    assert "calibration" not in weights.facts


def test_the_command_writes_weights_whose_scans_are_likelier(exported: Path, measured: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.safetensors"
    done = CliRunner().invoke(app, ["calibrate", str(exported), str(measured), "--split", "test", "--out", str(out)])
    assert done.exit_code == 0, done.output
    facts = load_weights(out).facts
    assert facts["calibration"]["dataset"] == measured.name
    dataset = open_dataset(measured)
    fitted = calibrate_qmixer(exported, dataset, tmp_path / "again.safetensors", "test", "cpu")
    assert facts["calibration"]["temperature"] == pytest.approx(fitted.head.temperature, abs=1e-3)
    assert fitted.head.after <= fitted.head.before
    # What is fitted is what the new weights answer.
    labelled = dataset.rows("test")[dataset.column("space_group")[dataset.rows("test")] > 0]
    assert (fitted.scans, fitted.unlabelled, facts["calibration"]["scans"]) == (2, 1, 2)
    assert "2 scans; left out: 1 that state no space group" in done.output
    inputs = torch.from_numpy(np.stack(list(qmixer_inputs(dataset, labelled).values()))).float()
    found = predict_inputs(load_weights(out), inputs)
    truth = dataset.column("space_group")[labelled].astype(int) - 1
    ends = np.searchsorted(SYSTEM_ENDS, truth, side="right")
    loss = [-np.log(p.space_group[t] * p.crystal_system[e]) for p, t, e in zip(found, truth, ends, strict=True)]
    assert np.mean(loss) == pytest.approx(fitted.head.after, rel=1e-2)


def test_scans_without_a_label_are_none(
    exported: Path, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(measured)
    columns = Dataset.column
    monkeypatch.setattr(Dataset, "column", lambda d, n: columns(d, n) * (n != "space_group"))
    with pytest.raises(TrainerError, match=r"no scan that states its space group.*3 of 3 state none"):
        calibrate_qmixer(exported, dataset, tmp_path / "c.safetensors", "test", "cpu")


def test_a_prior_is_refused(exported: Path, measured: Path, tmp_path: Path) -> None:
    command = ["calibrate", str(exported), str(measured), "--split", "test", "--out", str(tmp_path / "c.safetensors")]
    done = CliRunner().invoke(app, [*command, "--no-prior"])
    assert done.exit_code == 2
    assert "no effect on QMixer" in done.output
    assert CliRunner().invoke(app, [*command, "--device", "nowhere"]).exit_code == 2


def test_mistakes_are_sentences(exported: Path, measured: Path, patterns_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="exists already"):
        calibrate_qmixer(exported, open_dataset(measured), exported, "test")
    with pytest.raises(TrainerError, match="expected a dataset of measured scans"):
        calibrate_qmixer(exported, open_dataset(patterns_dataset), tmp_path / "x.safetensors", "test")
