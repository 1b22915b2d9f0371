"""Exported networks: used without the project they give what the project gives, for any batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

import trainer
from tests.trainer import small
from tests.trainer.test_qmixer_predict import exported, scan  # noqa: F401 - a fixture
from trainer.commands.app import app
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.models.crystalnet import CrystalNet
from trainer.prediction.calibrate import calibrate
from trainer.prediction.export.networks import ExportedNetwork, Variable, crystalnet_network
from trainer.prediction.export.onnx_file import write_onnx
from trainer.prediction.qmixer import load_weights, predict_scan
from trainer.simulate.log_q import scan_on_grid
from trainer.simulate.points import grid_positions
from trainer.training import weights
from trainer.training.fit import BEST, fit
from trainer.training.networks import build_network


@pytest.fixture(scope="module")
def run(patterns_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    config = replace(small.ALPHADIFFRACT, epochs=1, samples_per_structure=1)
    fit(config, patterns_dataset, out, device="cpu")
    calibrate(out / BEST, open_dataset(patterns_dataset), out / "calibrated.pt", device="cpu")
    return out


@pytest.fixture(scope="module")
def densities_run(densities_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    fit(replace(small.CRYSTALNET, epochs=1), densities_dataset, out, device="cpu")
    return out


def opened(path: Path) -> tuple[onnxruntime.InferenceSession, dict]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session, json.loads(session.get_modelmeta().custom_metadata_map["pxrd"])


def test_alphadiffract_in_onnx_answers_as_the_calibrated_checkpoint_does(run: Path) -> None:
    model = trainer.load(run / "calibrated.pt", "cpu")
    found = trainer.export(run / "calibrated.pt", run / "a.onnx")
    assert found.network == "alphadiffract"
    session, facts = opened(run / "a.onnx")
    assert facts["grid"] == {
        "two_theta_min_deg": 5.0,
        "two_theta_max_deg": 20.0,
        "points": 2000,
        "wavelength_A": 0.619921,
        "polarisation": 0.99,
    }
    assert facts["labels"]["crystal_system"] == model.checkpoint.dataset["crystal_systems"]
    assert facts["labels"]["space_group"][224] == "Fm-3m"
    assert facts["outputs"]["niggli"]["dimensions"] == ["batch", 6]
    assert "/" not in facts["trained"]["dataset"]
    for batch in (1, 4):
        pattern = torch.rand(batch, 2000, generator=torch.Generator().manual_seed(batch)) ** 8
        low, high = pattern.amin(dim=1, keepdim=True), pattern.amax(dim=1, keepdim=True)
        with torch.no_grad():
            wanted = model.model(100 * (pattern - low) / (high - low))
        names = ["crystal_system", "space_group", "niggli"]
        assert set(names) == set(facts["outputs"])
        answers = session.run(names, {"intensity": 17 * pattern.numpy()})  # the scale has no effect
        named = dict(zip(names, answers, strict=True))
        np.testing.assert_allclose(named["crystal_system"], wanted.crystal_system.softmax(dim=1), atol=1e-5)
        np.testing.assert_allclose(named["space_group"], wanted.space_group.softmax(dim=1), atol=1e-5)
        np.testing.assert_allclose(named["niggli"], wanted.lattice, rtol=1e-4)


def test_qmixer_in_onnx_answers_for_a_scan_as_the_project_does(exported: Path, tmp_path: Path) -> None:  # noqa: F811
    assert trainer.export(exported, tmp_path / "q.onnx").network == "qmixer"
    session, facts = opened(tmp_path / "q.onnx")
    grid = facts["grid"]
    angle, intensity = scan(grid["wavelength_A"])
    found = scan_on_grid(angle, intensity, grid["wavelength_A"])
    assert found is not None
    one = {"intensity": found[0][None].numpy(), "measured": found[1][None].numpy()}
    both = {name: np.repeat(values, 2, axis=0) for name, values in one.items()}
    system, group, cells = session.run(["crystal_system", "space_group", "niggli"], both)
    wanted = predict_scan(load_weights(exported), angle, intensity, grid["wavelength_A"])
    for k in range(2):
        np.testing.assert_allclose(system[k], wanted.crystal_system, atol=1e-5)
        np.testing.assert_allclose(group[k], wanted.space_group, atol=1e-5)
        np.testing.assert_allclose(cells[k], wanted.lattices, rtol=1e-4)
    assert facts["trained"]["data"] == "made up"
    assert facts["labels"]["niggli"][-1] == "cF"


def test_crystalnet_in_onnx_gives_the_density_at_any_positions(densities_run: Path) -> None:
    trainer.export(densities_run / BEST, densities_run / "c.onnx")
    session, facts = opened(densities_run / "c.onnx")
    assert "electrons per cubic angstrom" in facts["outputs"]["density"]["meaning"]
    model = trainer.load(densities_run / BEST, "cpu").model
    assert isinstance(model, CrystalNet)
    generator = torch.Generator().manual_seed(3)
    peaks, composition = torch.rand(2, 1024, generator=generator), torch.rand(2, 118, generator=generator)
    noise = torch.randn(2, 2 * model.config.width, generator=generator)
    position = grid_positions(6, torch.device("cpu")).expand(2, -1, 3)
    inputs = {"xrd_peaks": peaks, "composition": composition, "noise": noise, "position": position}
    (density,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        encoding = model.encode(peaks, composition)
        drawn = torch.cat([encoding.pattern.sample(noise[:, :48]), encoding.formula.sample(noise[:, 48:])], dim=1)
        wanted = model.decode(drawn, position)
    np.testing.assert_allclose(density, wanted, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize(("composition", "inputs"), [("none", 3), ("elements", 4)])
def test_ablated_compositions_are_part_of_the_function(composition: str, inputs: int) -> None:
    config = replace(small.CRYSTALNET, model=replace(small.CRYSTALNET.model, composition=composition))
    torch.manual_seed(0)
    network = crystalnet_network(build_network(config).eval(), {"network": "crystalnet"})
    example = network.example({"batch": 2, "point": 5})
    assert len(example) == inputs
    with torch.no_grad():
        density = network.module(*example.values())
        if composition == "elements":
            example["composition"] = 7 * example["composition"]  # only which elements there are counts
        assert torch.equal(network.module(*example.values()), density)


class Unfaithful(torch.nn.Module):
    """A function that is another one while it is traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x if torch.compiler.is_compiling() else 3 * x


def test_a_file_that_differs_from_torch_is_not_written(tmp_path: Path) -> None:
    variable = {"x": Variable(("batch", 4), "")}
    network = ExportedNetwork(Unfaithful(), variable, {"y": variable["x"]}, {"network": "none"})
    with pytest.raises(TrainerError, match="y of the ONNX file differs from torch's"):
        write_onnx(network, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_predict_and_evaluate_as_their_checkpoint_does(
    run: Path, densities_run: Path, patterns_dataset: Path, tmp_path: Path
) -> None:
    trainer.export(run / "calibrated.pt", tmp_path / "a.safetensors")
    trainer.export(densities_run / BEST, tmp_path / "c.safetensors")
    a, there = trainer.load(tmp_path / "a.safetensors", "cpu"), trainer.load(run / "calibrated.pt", "cpu")
    for name, value in there.model.state_dict().items():
        assert torch.equal(a.model.state_dict()[name], value), name
    assert a.config == there.config
    groups = there.checkpoint.dataset["train_groups"]
    assert torch.equal(a.checkpoint.dataset["train_groups"], groups)
    assert a.checkpoint.dataset["path"] == "patterns"
    c = trainer.load(tmp_path / "c.safetensors", "cpu")
    assert c.kind == "crystalnet"
    reports = []
    for number, model in enumerate((tmp_path / "a.safetensors", run / "calibrated.pt")):
        out = tmp_path / f"report-{number}"
        arguments = ["evaluate", str(model), str(patterns_dataset), "--out", str(out), "--device", "cpu"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        reports.append((out / "report.json").read_text())
    assert reports[0] == reports[1]


def test_without_calibration_the_weights_are_those_of_training(run: Path, tmp_path: Path) -> None:
    trainer.export(run / "calibrated.pt", tmp_path / "plain.safetensors", calibrated=False)
    plain, trained = weights.load(tmp_path / "plain.safetensors"), trainer.load(run / BEST, "cpu")
    assert torch.equal(plain.model["space_group.4.bias"], trained.checkpoint.model["space_group.4.bias"])


def test_the_command_says_what_it_wrote(run: Path, exported: Path, tmp_path: Path) -> None:  # noqa: F811
    checkpoint = exported.with_name("last.pt")  # of QMixer
    result = CliRunner().invoke(app, ["export", str(checkpoint), "--out", str(tmp_path / "q.safetensors")])
    assert (result.exit_code, "qmixer: " in result.output) == (0, True), result.output
    assert torch.equal(load_weights(tmp_path / "q.safetensors").log_prior, load_weights(exported).log_prior)
    result = CliRunner().invoke(
        app, ["export", str(run / BEST), "--format", "safetensors", "--out", str(tmp_path / "w")]
    )
    assert (result.exit_code, "alphadiffract: " in result.output) == (0, True), result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{run}/best.pt", "--out", "{tmp}/x.pkl"), "expected a format out of safetensors, onnx, found 'pkl'"),
        (("{run}/best.pt", "--out", "{tmp}/x", "--format", "coreml"), "found 'coreml'"),
        (("{run}/best.pt", "--out", "{run}/best.pt", "--format", "onnx"), "exists already"),
        (("{run}/none.pt", "--out", "{tmp}/x.onnx"), "no checkpoint here"),
        (("{run}/log.csv", "--out", "{tmp}/x.onnx"), "found another or a damaged file"),
        (("{run}/none.safetensors", "--out", "{tmp}/x.onnx"), "no weights here"),
        (("{qmixer}", "--out", "{tmp}/x.safetensors"), "is a file of safetensors already"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(
    arguments: tuple[str, ...],
    message: str,
    run: Path,
    exported: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    names = {"run": run, "tmp": tmp_path, "qmixer": exported}
    result = CliRunner().invoke(app, ["export", *(a.format(**names) for a in arguments)])
    assert (result.exit_code, message in " ".join(result.output.split())) == (2, True), result.output
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_are_refused(run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    trainer.export(run / BEST, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    facts = {"format": "pxrd-trainer-weights", "format_version": 1, "dataset": {}, "step": 1}
    for changed, message in (
        ({"format_version": 2}, "expected weights of pxrd-trainer-weights 1, found 'pxrd-trainer-weights' 2"),
        ({"config": 3}, "expected configuration, dataset and step"),
        ({"config": {"kind": "resnet"}}, "expected one of alphadiffract, crystalnet"),
        ({"config": {"kind": "alphadiffract", "epochs": "x"}}, "epochs"),
    ):
        path = tmp_path / "b.safetensors"
        save_file(tensors, path, metadata={"pxrd": json.dumps(facts | changed)})
        with pytest.raises(TrainerError, match=message):
            weights.load(path)
