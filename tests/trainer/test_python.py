"""`trainer.PatternDataset`, `trainer.load` and `trainer.predict`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner

import trainer
from tests.trainer import datasets
from tests.trainer.small import ALPHADIFFRACT, CRYSTALNET
from trainer.commands.app import app
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.scans.scan import Scan
from trainer.training.fit import BEST, fit


@pytest.fixture(scope="module")
def runs(patterns_dataset: Path, densities_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    config = replace(ALPHADIFFRACT, epochs=1, samples_per_structure=1)
    fit(config, patterns_dataset, folder / "a", device="cpu")
    fit(replace(config, seed=1), patterns_dataset, folder / "b", device="cpu")
    fit(replace(CRYSTALNET, epochs=1), densities_dataset, folder / "c", device="cpu")
    return folder


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.linspace(4, 60, 4000)
    y = 100 + 1000 * np.exp(-0.5 * ((x - 30) / 0.05) ** 2)
    path = tmp_path_factory.mktemp("scans") / "scan.xy"
    path.write_text("\n".join(f"{a} {b}" for a, b in zip(x, y, strict=True)))
    return path


def test_importing_the_package_loads_neither_torch_nor_zarr() -> None:
    code = (
        "import sys, trainer; assert dir(trainer); trainer.errors\n"
        "assert not {'torch', 'zarr', 'numpy'} & set(sys.modules), set(sys.modules)\n"
        "try: trainer.nothing\nexcept AttributeError as error: assert 'nothing' in str(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_items_are_the_stored_patterns_with_their_labels(patterns_dataset: Path) -> None:
    data = trainer.PatternDataset(patterns_dataset, "validation")
    dataset = open_dataset(patterns_dataset)
    rows = dataset.rows("validation")
    assert len(data) == len(rows) * datasets.N_AUGMENTATIONS
    item = data[-1]
    torch.testing.assert_close(item["pattern"], torch.from_numpy(dataset.pattern(rows[-1])[-1]))
    assert item["row"] == rows[-1]
    for name in ("crystal_system", "space_group", "niggli"):
        np.testing.assert_allclose(item[name].numpy(), dataset.column(name)[rows[-1]], rtol=1e-6)
    assert data.two_theta_deg.shape == item["pattern"].shape
    assert "validation" in repr(data)
    with pytest.raises(IndexError):
        data[len(data)]


@pytest.mark.parametrize("kind", ["patterns", "sticks"])
def test_a_seed_makes_items_repeat_alone_and_in_batches(patterns_dataset: Path, kind: str) -> None:
    data = trainer.PatternDataset(patterns_dataset, input=kind, samples=2, noise=True, seed=3)
    together = data.__getitems__([5, 4, 5])
    torch.testing.assert_close(together[0]["pattern"], data[5]["pattern"])
    torch.testing.assert_close(together[1]["pattern"], data[4]["pattern"])
    torch.testing.assert_close(together[2]["pattern"], together[0]["pattern"])
    other = trainer.PatternDataset(patterns_dataset, input=kind, samples=2, noise=True, seed=4)
    assert not torch.equal(other[5]["pattern"], data[5]["pattern"])
    fresh = trainer.PatternDataset(patterns_dataset, input=kind, samples=2, noise=True)
    assert not torch.equal(fresh[5]["pattern"], fresh[5]["pattern"])


def test_sticks_are_broadened_at_their_bragg_angles(patterns_dataset: Path) -> None:
    data = trainer.PatternDataset(patterns_dataset, "test", input="sticks", samples=3)
    item = data[4]
    positions, area = datasets.sticks(int(item["row"]))
    highest = float(data.two_theta_deg[item["pattern"].argmax()])
    assert item["pattern"].max() == 1.0
    assert np.abs(positions - highest).min() < 0.05
    assert area[np.abs(positions - highest).argmin()] > 0.2 * area.max()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_the_same_items(patterns_dataset: Path, context: str) -> None:
    data = trainer.PatternDataset(patterns_dataset, "test", samples=2, noise=True, seed=1)
    data[0]  # zarr's event loop runs before the fork
    loader = DataLoader(data, batch_size=5, num_workers=2, multiprocessing_context=context)
    read = torch.cat([batch["pattern"] for batch in loader])
    torch.testing.assert_close(read, torch.stack([data[i]["pattern"] for i in range(len(data))]))


def test_impossible_requests_are_one_sentence(patterns_dataset: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"input": "images"}, "expected one of patterns, sticks"),
        ({"samples": 5}, "expected 1 to 4"),
        ({"samples": 0, "input": "sticks"}, "expected 1 or more"),
        ({"split": "holdout"}, "expected a split out of"),
    ):
        with pytest.raises(TrainerError, match=message):
            trainer.PatternDataset(patterns_dataset, **options)  # type: ignore[arg-type]
    with pytest.raises(TrainerError, match="no dataset here"):
        trainer.PatternDataset(tmp_path)


def test_a_checkpoint_is_loaded_with_its_settings(runs: Path) -> None:
    model = trainer.load(runs / "a" / BEST)
    assert model.config.epochs == 1
    assert repr(model).startswith("TrainedModel(alphadiffract, ")
    assert not model.model.training
    with pytest.raises(TrainerError, match="no checkpoint here"):
        trainer.load(runs / "none.pt")


def test_predictions_of_paths_loaded_models_and_arrays_agree(runs: Path, scan: Path) -> None:
    a, b = runs / "a" / BEST, runs / "b" / BEST
    (by_path,) = trainer.predict(a, scan, "CuKa1")
    (by_model,) = trainer.predict(trainer.load(a), [str(scan)], 1.5405929)
    assert by_path == by_model
    x, y = np.loadtxt(scan, unpack=True)
    (by_array,) = trainer.predict(a, Scan.from_arrays(x, y, 1.5405929))
    assert by_array.crystal_system == by_path.crystal_system
    assert by_array.file == "scan"
    (ensemble,) = trainer.predict([a, b], scan, "CuKa1", top=3, draws=0)
    assert (ensemble.details["models"], len(ensemble.space_group)) == (2, 3)
    said = repr(by_path)
    assert by_path.crystal_system[0].name in said
    assert by_path.space_group[0].symbol in said


def test_the_command_prints_what_the_function_returns(runs: Path, scan: Path) -> None:
    options = ["--wavelength", "CuKa1", "--json", "--device", "cpu"]
    ended = CliRunner().invoke(app, ["predict", str(runs / "a" / BEST), str(scan), *options])
    (found,) = trainer.predict(runs / "a" / BEST, scan, "CuKa1", device="cpu")
    assert json.loads(ended.stdout) == [json.loads(json.dumps(found.as_dict()))]


def test_predictions_that_cannot_be_made_are_one_sentence(runs: Path, scan: Path, tmp_path: Path) -> None:
    a, c = runs / "a" / BEST, runs / "c" / BEST
    with pytest.raises(TrainerError, match="states no wavelength"):
        trainer.predict(a, scan)
    with pytest.raises(TrainerError, match="found one of crystalnet"):
        trainer.predict([a, c], scan, "CuKa1")
    with pytest.raises(TrainerError, match="at least one file"):
        trainer.predict(a)
    with pytest.raises(TrainerError, match="at least one file"):
        trainer.predict(a, [])
    with pytest.raises(TrainerError, match="no such file"):
        trainer.predict(a, tmp_path / "none.xy", "CuKa1")


def test_without_pretrained_weights_a_checkpoint_is_asked_for(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.prediction.qmixer.WEIGHTS", "no-such.safetensors")
    with pytest.raises(TrainerError, match="no pretrained weights"):
        trainer.predict(str(scan), wavelength="CuKa1")
    with pytest.raises(TrainerError, match="no pretrained weights"):
        trainer.load()
    ended = CliRunner().invoke(app, ["predict", str(scan), "--wavelength", "CuKa1"])
    assert ended.exit_code == 2


def test_lines_are_for_qmixer_alone(runs: Path, scan: Path) -> None:
    with pytest.raises(TrainerError, match="--no-lines: no effect on AlphaDiffract"):
        trainer.predict(runs / "a" / "best.pt", scan, wavelength="CuKa1", lines=False)
