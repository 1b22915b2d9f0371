"""`trainer predict` on datasets, and its table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.trainer.scoring.test_evaluate import measured
from tests.trainer.test_qmixer_predict import exported
from trainer.commands.app import app
from trainer.data.store import open_dataset
from trainer.prediction.api import predict

__all__ = ["exported", "measured"]


def test_scans_of_a_dataset_get_the_answers_of_their_files(measured: Path, exported: Path, tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    result = CliRunner().invoke(app, ["predict", str(exported), str(measured), "--csv", str(table), "--json"])
    assert result.exit_code == 0, result.output
    answers = {entry["file"].rpartition(":")[2]: entry for entry in json.loads(result.stdout)}
    assert set(answers) == set(open_dataset(measured).text("source_id"))
    (expected,) = predict(exported, measured.parent / "scans" / "salt.xy")
    assert answers["salt.xy"]["space_group"][0]["number"] == expected.space_group[0].number
    assert answers["salt.xy"]["wavelength_A"] == 1.5405929
    with table.open(newline="") as source:
        rows = {row["file"].rpartition(":")[2]: row for row in csv.DictReader(source)}
    assert rows["salt.xy"]["space_group"] == str(expected.space_group[0].number)
    assert float(rows["salt.xy"]["a"]) == pytest.approx(expected.niggli_lattice["a"].value, rel=1e-3)


def test_simulated_datasets_and_broken_files_have_their_rows(
    patterns_dataset: Path,
    exported: Path,
    tmp_path: Path,
) -> None:
    broken, table = tmp_path / "broken.xy", tmp_path / "answers.csv"
    broken.write_text("1 2\n")
    arguments = ["predict", str(exported), str(patterns_dataset), str(broken), "--csv", str(table), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    with table.open(newline="") as source:
        rows = list(csv.DictReader(source))
    assert len(rows) == open_dataset(patterns_dataset).n_structures + 1
    assert "at least 50 points" in rows[-1]["error"]
    assert rows[0]["wavelength_A"] == "0.619921"
