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
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.temperature import fit_temperature
from trainer.prediction.calibrate_qmixer import at_temperature, calibrate_qmixer
from trainer.prediction.qmixer import load_weights

__all__ = ["exported", "measured"]


def test_a_known_temperature_is_found_from_classes_and_their_systems() -> None:
    logits, truth = samples(2.5, [0, 0, 0, 0])
    found = fit_temperature(logits, truth, (0, 1, 3))
    assert found.temperature == pytest.approx(2.5, rel=0.06)
    assert found.after < found.before


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
    fitted = calibrate_qmixer(exported, open_dataset(measured), tmp_path / "again.safetensors", "test")
    assert facts["calibration"]["temperature"] == pytest.approx(fitted.temperature, abs=1e-3)
    assert fitted.after <= fitted.before
    assert np.isfinite(fitted.after)


def test_mistakes_are_sentences(exported: Path, measured: Path, patterns_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="exists already"):
        calibrate_qmixer(exported, open_dataset(measured), exported, "test")
    with pytest.raises(TrainerError, match="expected a dataset of measured scans"):
        calibrate_qmixer(exported, open_dataset(patterns_dataset), tmp_path / "x.safetensors", "test")
