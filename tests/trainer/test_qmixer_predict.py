"""Weights of QMixer in half precision come back the same and answer for scans of any wavelength."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.trainer.test_qmixer import SMALL, TRAINING
from trainer.commands.app import app
from trainer.errors import TrainerError
from trainer.models.qmixer import QMixer, QMixerOutput
from trainer.prediction.qmixer import Weights, export_weights, load_weights, predict_inputs, predict_scan
from trainer.simulate.axis import LN_Q_STEP, N_BINS
from trainer.training.fit_qmixer import State, save


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = QMixer(SMALL)
    state = State(
        TRAINING,
        model,
        model,
        QMixer(SMALL),
        torch.optim.AdamW(model.parameters()),
        1.5 + torch.rand(14, 6),
        0.1 + torch.rand(14, 6),
        torch.randn(230),
        step=6,
        seconds=90.0,
    )
    save(state, folder / "last.pt")
    export_weights(folder / "last.pt", folder / "w.safetensors", {"data": "made up"})
    return folder / "w.safetensors"


def scan(wavelength_A: float) -> tuple[np.ndarray, np.ndarray]:
    q = np.linspace(0.5, 5.5, 5000)
    intensity = 20 + sum(500 * np.exp(-0.5 * ((q - at) / 0.01) ** 2) for at in (1.5, 2.1, 2.9, 3.3))
    return np.degrees(2 * np.arcsin(q * wavelength_A / (4 * np.pi))), intensity


def test_weights_come_back_with_their_facts(exported: Path) -> None:
    weights = load_weights(exported)
    assert weights.facts["data"] == "made up"
    assert weights.facts["patterns"] == 6 * TRAINING.batch
    assert weights.facts["minutes"] == 1.5
    content = torch.load(exported.with_name("last.pt"), weights_only=True)
    for name, value in weights.model.state_dict().items():
        assert torch.equal(value, content["average"][name].half().float())
    assert torch.equal(weights.log_prior, content["log_prior"])


def test_a_prediction_does_not_depend_on_the_wavelength(exported: Path) -> None:
    weights = load_weights(exported)
    first = predict_scan(weights, *scan(1.5405929), 1.5405929)
    second = predict_scan(weights, *scan(0.70932), 0.70932)
    np.testing.assert_allclose(first.space_group, second.space_group, atol=5e-3)
    assert first.space_group.sum() == pytest.approx(1.0, abs=1e-5)
    assert first.crystal_system.sum() == pytest.approx(1.0, abs=1e-5)
    assert first.bravais.sum() == pytest.approx(1.0, abs=1e-5)
    assert first.niggli.shape == (6,)


class Ruler(torch.nn.Module):
    """A network that measures: the logarithm of its lengths falls with the bin of the peak."""

    def forward(self, inputs: torch.Tensor) -> QMixerOutput:
        lattice = torch.zeros(len(inputs), 14, 6)
        lattice[..., :3] = -LN_Q_STEP * inputs[:, 0].argmax(dim=1).float()[:, None, None]
        return QMixerOutput(torch.zeros(len(inputs), 230), lattice)


def test_lattices_of_shifted_views_are_brought_back() -> None:
    """A pattern shifted to larger q is that of a smaller crystal; the average over views is the crystal's own."""
    weights = Weights(Ruler(), torch.zeros(14, 6), torch.ones(14, 6), torch.zeros(230), {})  # type: ignore[arg-type]
    inputs = torch.zeros(1, 2, N_BINS)
    inputs[0, 0, 1000] = 1.0
    (prediction,) = predict_inputs(weights, inputs)
    np.testing.assert_allclose(prediction.lattices[:, :3], np.exp(-1000 * LN_Q_STEP), rtol=1e-5)


def test_a_scan_that_covers_too_little_is_refused(exported: Path) -> None:
    weights = load_weights(exported)
    angle = np.linspace(10, 12, 300)
    with pytest.raises(TrainerError, match="covers too little"):
        predict_scan(weights, angle, np.ones(300), 1.5405929)
    with pytest.raises(TrainerError, match="covers too little"):
        predict_scan(weights, np.linspace(0.1, 0.5, 300), np.ones(300), 1.5405929)


def test_what_is_not_weights_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no weights here"):
        load_weights(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(TrainerError, match="expected weights in safetensors"):
        load_weights(tmp_path / "text.safetensors")
    cut = exported.read_bytes()[:-1000]
    (tmp_path / "cut.safetensors").write_bytes(cut)
    with pytest.raises(TrainerError, match="expected weights in safetensors"):
        load_weights(tmp_path / "cut.safetensors")


def test_objects_say_what_they_are(exported: Path) -> None:
    weights = load_weights(exported)
    assert repr(weights).startswith("Weights(QMixer, ")
    assert repr(predict_scan(weights, *scan(1.5405929), 1.5405929)).startswith("QMixerPrediction(")


def test_the_command_line_predicts_with_weights(exported: Path, tmp_path: Path) -> None:
    angle, intensity = scan(1.5405929)
    np.savetxt(tmp_path / "scan.xy", np.stack([angle, intensity], axis=1))
    arguments = ["predict", str(exported), str(tmp_path / "scan.xy"), "--wavelength", "CuKa1", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["wavelength_A"] == 1.5405929
    assert len(found["space_group"]) == 5
    assert found["crystal_system"][0]["probability"] >= found["crystal_system"][1]["probability"]
    assert set(found["niggli_lattice"]) == {"a", "b", "c", "alpha", "beta", "gamma"}
    shown = CliRunner().invoke(app, arguments[:-1])
    assert "space group" in shown.output


@pytest.fixture(scope="module")
def shipped() -> Weights:
    """The weights that come with the package."""
    return load_weights()


def test_the_package_brings_weights(shipped: Weights) -> None:
    assert shipped.facts["patterns"] > 100_000
    assert {"data", "licence", "accuracy"} <= set(shipped.facts)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--subtract-background"], "--subtract-background: no effect on QMixer"),
        (["--draws", "4"], "--draws: no effect on QMixer"),
        (["--uncalibrated"], "its calibration is part of the weights"),
        (["--device", "nowhere"], "--device nowhere: expected"),
    ],
)
def test_options_without_effect_are_refused(exported: Path, tmp_path: Path, option: list[str], message: str) -> None:
    np.savetxt(tmp_path / "scan.xy", np.column_stack(scan(1.5406)))
    command = ["predict", str(exported), str(tmp_path / "scan.xy"), "--wavelength", "1.5406"]
    done = CliRunner().invoke(app, [*command, *option])
    assert done.exit_code == 2
    assert message in done.output
    assert CliRunner().invoke(app, [*command, "--draws", "0", "--json"]).exit_code == 0


def test_the_lines_of_a_scan_count_unless_they_are_left_out(exported: Path, tmp_path: Path) -> None:
    """A cubic pattern has a cell on its lines; the network alone has none."""
    q = np.linspace(0.5, 5.5, 5000)
    at = 2 * np.pi / 4.2 * np.sqrt([1, 2, 3, 4, 5, 6, 8, 9, 10, 11])
    intensity = 20 + sum(500 * np.exp(-0.5 * ((q - place) / 0.01) ** 2) for place in at)
    angle = np.degrees(2 * np.arcsin(q * 1.5405929 / (4 * np.pi)))
    np.savetxt(tmp_path / "scan.xy", np.column_stack([angle, intensity]))
    command = [
        "predict",
        str(exported),
        str(tmp_path / "scan.xy"),
        "--wavelength",
        "1.5405929",
        "--json",
        "--top",
        "230",
    ]
    with_them, without, default = (
        json.loads(CliRunner().invoke(app, [*command, *option]).stdout)[0]
        for option in (["--lines"], ["--no-lines"], [])
    )
    assert default == with_them
    assert with_them["bravais_lattice"][0]["line_odds"] is not None
    assert all(entry["line_odds"] is None for entry in without["bravais_lattice"])
    alone = predict_scan(load_weights(exported), angle, intensity, 1.5405929)
    by_number = {entry["number"]: entry["probability"] for entry in without["space_group"]}
    np.testing.assert_allclose([by_number[i + 1] for i in range(230)], alone.space_group, atol=2e-3)


def test_weights_move_to_a_device_and_stay_where_they_were(exported: Path) -> None:
    weights = load_weights(exported)
    assert weights.to(torch.device("cpu")) is weights
    moved = weights.to(torch.device("meta"))
    assert {d.type for d in (moved.device, *(p.device for p in moved.model.parameters()))} == {"meta"}
    assert {q.device.type for q in weights.model.parameters()} == {"cpu"}
