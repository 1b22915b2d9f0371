"""`trainer evaluate` on datasets of measured patterns, with untrained models."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from datagen.config.measured import MeasuredSettings
from datagen.measured.write import write_measured
from datagen.simulate.instrument import Instrument
from tests.measured.scans import collection
from tests.trainer.small import ALPHADIFFRACT
from tests.trainer.test_qmixer_predict import exported
from trainer.commands.app import app
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffract
from trainer.prediction.api import load, predict
from trainer.prediction.scoring.evaluate import evaluate_scans
from trainer.scans.read import read_scan
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoint, Progress
from trainer.training.datasets import choose_rows, dataset_identity, group_hashes

__all__ = ["exported"]
CU = Instrument.preset("cu_kalpha1").model_copy(update={"two_theta_max_deg": 89.0, "n_points": 2000})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scoring")
    write_measured(collection(folder / "scans"), folder / "m.zarr", MeasuredSettings.model_validate({}), CU, "ours")
    return folder / "m.zarr"


def untrained(path: Path, dataset: Path, seed: int, seen: list[int]) -> Path:
    torch.manual_seed(seed)
    opened = open_dataset(dataset)
    identity = dataset_identity(opened)
    identity["train_groups"] = torch.from_numpy(group_hashes(opened, np.array(seen, dtype=np.int64)))
    model = AlphaDiffract(ALPHADIFFRACT.model)
    state = Checkpoint(ALPHADIFFRACT, Progress(1, 1, 0, 0.0, (0,)), model.state_dict(), {}, {}, identity)
    checkpoint.save(path, state)
    return path


@pytest.fixture(scope="module")
def models(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    salt = open_dataset(measured).text("source_id").index("salt.xy")
    return [untrained(folder / f"{seed}.pt", measured, seed, [salt]) for seed in (1, 2)]


def test_an_ensemble_is_scored_with_tables_json_csv_and_plots(
    measured: Path, models: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", *map(str, models), str(measured), "--out", str(out), "--plots", "--simulated"]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert report["models"] == 2
    assert report["measured"]["all"]["scans"] == 3
    assert report["measured"]["all"]["with_space_group"] == 2
    assert [report["measured"]["parts"][part]["scans"] for part in ("seen", "unseen")] == [1, 1]
    assert report["simulated"]["all"]["scans"] == report["measured_with_structure"]["all"]["scans"] == 2
    assert [s["models"] for s in report["measured"]["ensemble_sizes"]] == [1, 2]
    with (out / "answers.csv").open(newline="") as source:
        rows = {row["scan"]: row for row in csv.DictReader(source)}
    assert rows["salt.xy"]["space_group"] == "225"
    assert rows["salt.xy"]["seen"] == "True"
    assert rows["quartz.xy"]["seen"] == "False"
    assert 1 <= int(rows["salt.xy"]["rank"]) <= 230
    rruff = rows["Quartz__R0-1__Powder__Xray_Data_XY_Processed__1.txt"]
    assert (rruff["space_group"], rruff["seen"]) == ("", "")
    assert {p.name for p in out.glob("*.png")} == {"reliability.png", "confusion.png", "parity.png", "ensemble.png"}
    assert "extinction class" in (out / "report.md").read_text()


def test_answers_are_those_of_predict(measured: Path, models: list[Path]) -> None:
    found = evaluate_scans(models, open_dataset(measured), device="cpu")
    row = found.truths.name.index("quartz.xy")
    scan = read_scan(measured.parent / "scans" / "quartz.xy")
    (expected,) = predict(models, scan, subtract_background=True, draws=0, top=230, device="cpu")
    by_number = {group.number - 1: group.probability for group in expected.space_group}
    probability = found.answers.space_group.mean(axis=0)[row]
    # The stored pattern is rounded to steps of 2^-13 and has no negative intensities.
    np.testing.assert_allclose(probability, [by_number[i] for i in range(230)], atol=2e-3)


def test_a_model_of_another_instrument_gets_the_scans_brought_to_it(
    measured: Path, patterns_dataset: Path, tmp_path: Path
) -> None:
    model = untrained(tmp_path / "other.pt", patterns_dataset, 3, [0])
    found = evaluate_scans([model], open_dataset(measured), device="cpu")
    assert found.report["measured"]["all"]["scans"] == 3
    assert found.report["out_of_range"] == 0
    with pytest.raises(TrainerError, match="simulated patterns are for the instrument of the dataset"):
        evaluate_scans([model], open_dataset(measured), device="cpu", simulated=True)


def test_scans_beyond_the_range_are_counted(measured: Path, patterns_dataset: Path, tmp_path: Path) -> None:
    model = untrained(tmp_path / "wide.pt", patterns_dataset, 3, [0])
    state = checkpoint.load(model)
    wide = {**state.dataset, "two_theta_max_deg": 60.0}
    checkpoint.save(model, replace(state, dataset=wide))
    with pytest.raises(TrainerError, match="no scan covers the range that the model needs"):
        evaluate_scans([model], open_dataset(measured), device="cpu")


def test_qmixer_is_scored_from_the_scans_themselves(measured: Path, exported: Path) -> None:
    found = evaluate_scans([exported], open_dataset(measured), simulated=True)
    scan = open_dataset(measured).scan(int(found.truths.rows[0]))
    (expected,) = predict(load(exported), measured.parent / "scans" / found.truths.name[0], "1.5405929", top=230)
    top = int(found.answers.space_group[0, 0].argmax()) + 1
    assert expected.space_group[0].number == top
    assert scan.wavelength_A == 1.5405929
    assert found.report["measured"]["all"]["scans"] == 3
    assert found.report["simulated"]["all"]["scans"] == 2
    assert "seen" not in found.report["measured"]["parts"]


def test_a_training_dataset_tells_seen_from_unseen_structures(measured: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("salt.xy", "salt.cif"):
        (tmp_path / "scans" / name).write_bytes((measured.parent / "scans" / name).read_bytes())
    settings = MeasuredSettings.model_validate({"split": "train"})
    write_measured(tmp_path / "scans", tmp_path / "train.zarr", settings, CU, "ours")
    arguments = ["evaluate", str(exported), str(measured), "--trained-on", str(tmp_path / "train.zarr")]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    parts = json.loads((tmp_path / "out" / "report.json").read_text())["measured"]["parts"]
    # The third scan states no space group, so whether its structure was seen is not known.
    assert (parts["seen"]["scans"], parts["unseen"]["scans"]) == (1, 1)


def test_mistakes_are_sentences(measured: Path, models: list[Path], patterns_dataset: Path) -> None:
    def error(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
        assert result.exit_code == 2
        return " ".join(result.output.split())

    assert "no scan in the split 'train'" in error(models[0], measured, "--split", "train")
    assert "expected one checkpoint or more" in error(patterns_dataset)
    assert "expected a dataset of measured patterns" in error(models[0], patterns_dataset, "--simulated")


def test_training_takes_the_scans_with_all_labels(measured: Path, tmp_path: Path) -> None:
    source = measured.parent / "scans"
    settings = MeasuredSettings.model_validate({"split": "train"})
    write_measured(source, tmp_path / "train.zarr", settings, CU, "ours")
    dataset = open_dataset(tmp_path / "train.zarr")
    rows = choose_rows(ALPHADIFFRACT, dataset, "train")
    assert [dataset.text("source_id")[row] for row in rows.tolist()] == ["quartz.xy", "salt.xy"]


@pytest.mark.parametrize(
    ("name", "value"), [("scan_wavelength", np.nan), ("scan_two_theta", -1.0), ("n_scan_points", 3)]
)
def test_damaged_scans_are_refused(measured: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    dataset = open_dataset(measured)
    values, first = dataset.values, dataset._first

    def damaged(read: str, row: int) -> np.ndarray:
        return np.asarray(value) if read == name else values(read, row)

    def moved(read: str, row: int, n: int) -> np.ndarray:
        found = first(read, row, n)
        return np.where(np.arange(n) == n // 2, value, found) if read == name else found

    monkeypatch.setattr(dataset, "values", damaged)
    monkeypatch.setattr(dataset, "_first", moved)
    with pytest.raises(TrainerError, match="expected a scan of 50 finite points or more at rising angles"):
        dataset.scan(0)


@pytest.mark.parametrize("option", [["--samples", "2"], ["--input", "sticks"], ["--no-noise"], ["--batch-size", "8"]])
def test_options_of_simulated_patterns_are_refused_on_scans(
    measured: Path, models: list[Path], option: list[str]
) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(models[0]), str(measured), "--device", "cpu", *option])
    assert done.exit_code == 2
    assert "no effect on the measured patterns" in done.output


def test_lines_are_for_qmixer_alone(measured: Path, models: list[Path]) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(models[0]), str(measured), "--device", "cpu", "--no-lines"])
    assert done.exit_code == 2
    assert "--no-lines: no effect on AlphaDiffract" in done.output
