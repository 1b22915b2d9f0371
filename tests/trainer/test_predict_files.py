"""`trainer predict` on what laboratories have: folders, archives, broken files among good ones, any unit."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import trainer
from tests.trainer.small import ALPHADIFFRACT
from trainer.commands.app import app
from trainer.errors import TrainerError
from trainer.scans.scan import Scan
from trainer.training.fit import BEST, fit

X = np.linspace(4, 60, 4000)
Y = np.random.default_rng(0).poisson(100 + 1000 * np.exp(-0.5 * ((X - 30) / 0.05) ** 2))


@pytest.fixture(scope="module")
def checkpoint(patterns_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit(replace(ALPHADIFFRACT, epochs=1, samples_per_structure=1), patterns_dataset, folder, device="cpu")
    return folder / BEST


def text(x: np.ndarray = X, y: np.ndarray = Y, separator: str = " ") -> str:
    return "\n".join(f"{a:.5f}{separator}{b}" for a, b in zip(x, y, strict=True))


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments), "--device", "cpu"])


def groups(result: Result) -> list[float]:
    (answer,) = json.loads(result.stdout)
    return [entry["probability"] for entry in answer["space_group"]]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.xy"
    path.write_text(text())
    return path


@pytest.mark.parametrize("wavelength", ["1.5405929", "0.15405929 nm", "1.5405929e-10 m", "8.0478 keV", "CuKa1"])
def test_wavelengths_have_any_unit(checkpoint: Path, scan: Path, wavelength: str) -> None:
    result = predict(checkpoint, scan, "--wavelength", wavelength, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["wavelength_A"] == pytest.approx(1.5405929, rel=1e-5)


def test_decimal_commas_and_missing_points_change_nothing(checkpoint: Path, scan: Path, tmp_path: Path) -> None:
    expected = groups(predict(checkpoint, scan, "--wavelength", "CuKa1", "--json"))
    other = tmp_path / "other.csv"
    other.write_text("Winkel;Intensität\n" + text(separator=";").replace(".", ","))
    assert groups(predict(checkpoint, other, "--wavelength", "CuKa1", "--json")) == expected
    lines = text().split("\n")
    lines[100] = f"{X[100]:.5f} nan"
    other.with_suffix(".xy").write_text("\n".join(lines))
    found = groups(predict(checkpoint, other.with_suffix(".xy"), "--wavelength", "CuKa1", "--json"))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_spread_does_not_depend_on_the_scale_of_intensities(checkpoint: Path) -> None:
    """Uncertainties of scans that are not counts come from their scatter, not from the roots of their values."""
    found = []
    for scale in (1.0, 1e-3, 250.0):
        (answer,) = trainer.predict(checkpoint, Scan.from_arrays(X, scale * Y, 1.5405929), draws=64, device="cpu")
        found.append([answer.niggli_lattice[name].spread for name in ("a", "b", "c")])
    np.testing.assert_allclose(found[1], found[0], rtol=0.4)  # before: 1/30 and 16 times
    np.testing.assert_allclose(found[2], found[0], rtol=0.4)


def test_a_folder_and_an_archive_are_answered_file_by_file(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    (folder / "deeper").mkdir(parents=True)
    names = ["a.xy", "b.csv", "deeper/a.xy"]
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for name in names:
            (folder / name).write_text(text())
            archive.writestr(name, text())
    (folder / "readme.md").write_text("not a scan")
    for source, between in ((folder, "/"), (tmp_path / "scans.zip", ":")):
        result = predict(checkpoint, source, "--wavelength", "CuKa1", "--json")
        assert result.exit_code == 0, result.output
        answers = json.loads(result.stdout)
        assert [answer["file"] for answer in answers] == [f"{source}{between}{name}" for name in names]
    answers = trainer.predict(checkpoint, folder, "CuKa1", device="cpu")
    assert len(answers) == 3


def test_one_bad_file_leaves_the_others_answers(checkpoint: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.xy").write_text("hello\n")
    (tmp_path / "short.xy").write_text(text(X[:1000], Y[:1000]))
    arguments = (checkpoint, tmp_path / "bad.xy", scan, tmp_path / "short.xy", tmp_path / "none.xy")
    result = predict(*arguments, "--wavelength", "CuKa1", "--json")
    assert result.exit_code == 1
    answers = json.loads(result.stdout)
    assert ["error" in answer for answer in answers] == [True, False, True, True]
    assert "no data between" in answers[2]["error"]
    for message in ("expected two or three columns", "no data between", "no such file"):
        assert message in result.stderr
    shown = predict(*arguments, "--wavelength", "CuKa1")
    assert shown.exit_code == 1
    assert "scan.xy: space group" in shown.stdout
    assert predict(checkpoint, tmp_path / "bad.xy", "--wavelength", "CuKa1").exit_code == 2
    assert predict(checkpoint, scan).exit_code == 2, "no wavelength"
    with pytest.raises(TrainerError, match="two or three columns"):
        trainer.predict(checkpoint, [scan, tmp_path / "bad.xy"], "CuKa1", device="cpu")


def test_plots_of_scans_of_one_name_are_all_there(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("x/scan.xy", "y/scan.xy", "y/scan.txt", "y/other.xy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text())
    result = predict(
        checkpoint, tmp_path / "x", tmp_path / "y", "--wavelength", "CuKa1", "--gradcam", tmp_path / "looked"
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "looked").glob("*.png"))) == 4
    assert (tmp_path / "looked" / "other.png").exists()
