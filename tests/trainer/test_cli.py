"""The command line: works in an environment of its own, refuses with a sentence and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.trainer import datasets
from trainer.commands.app import app

SMALL = [
    option
    for setting in (
        "model.input_points=2000",
        "model.channels=[8,8,8]",
        "model.kernels=[20,9,9]",
        "model.strides=[8,4,4]",
        "model.second_pool=null",
        "model.crystal_system_hidden=[16]",
        "model.space_group_hidden=[16]",
        "model.lattice_hidden=[16]",
    )
    for option in ("--set", setting)
]
ALONE = """
import sys
foreign = ("datagen", "curation", "catalogs", "cluster", "pymatgen", "dask", "distributed", "dask_jobqueue", "spglib",
           "gemmi", "numba", "scipy", "xarray", "pyarrow", "matplotlib", "skimage", "pyrho", "mp_api", "pandas")
import builtins, importlib, pkgutil
plain = builtins.__import__
def refuse(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and name.split(".")[0] in foreign:
        raise ImportError("not in this environment: " + name)
    return plain(name, globals, locals, fromlist, level)
builtins.__import__ = refuse
import trainer
for module in pkgutil.walk_packages(trainer.__path__, "trainer."):
    if module.name != "trainer.__main__":
        importlib.import_module(module.name)
from trainer.commands.app import app
try:
    app(sys.argv[1:])
finally:
    assert not set(foreign) & set(sys.modules), set(foreign) & set(sys.modules)
"""


def trainer(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def test_every_module_and_a_whole_training_need_only_torch_numpy_zarr_and_the_command_line(
    patterns_dataset: Path, tmp_path: Path
) -> None:
    command = ["fit", "alphadiffract", patterns_dataset, "--out", tmp_path / "run", "--epochs", 1, "--samples", 1]
    command += ["--device", "cpu", "--workers", 1, *SMALL]
    run = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, command)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "run" / "best.pt").exists()


def test_help_answers_without_loading_torch() -> None:
    code = "import sys; from trainer.commands.app import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_fit_resume_evaluate_and_predict_in_a_row(patterns_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    common = ("--out", out, "--device", "cpu")
    code, said = trainer("fit", "alphadiffract", patterns_dataset, *common, "--epochs", 1, "--samples", 1, *SMALL)
    assert (code, "Trained 1 epochs" in said) == (0, True)
    code, said = trainer("fit", "alphadiffract", patterns_dataset, *common, "--resume", "--epochs", 2)
    assert (code, "Trained 2 epochs" in said) == (0, True)

    judged = tmp_path / "judged"
    code, said = trainer("evaluate", out / "best.pt", patterns_dataset, "--out", judged, "--plots", "--device", "cpu")
    assert code == 0
    assert "majority class" in said
    report = json.loads((judged / "report.json").read_text())
    assert report["structures"] == 6
    assert sorted(p.name for p in judged.glob("*.png")) == ["confusion.png", "graph_distance.png", "parity.png"]
    assert "| crystal system |" in (judged / "report.md").read_text()

    x = np.linspace(4, 60, 4000)
    y = 100 + 1000 * np.exp(-0.5 * ((x - 30) / 0.05) ** 2)
    scan = tmp_path / "scan.xy"
    scan.write_text("\n".join(f"{a} {b}" for a, b in zip(x, y, strict=True)))
    options = ("--wavelength", "CuKa1", "--device", "cpu")
    code, said = trainer("predict", out / "best.pt", scan, *options, "--json", "--gradcam", tmp_path / "looked")
    assert code == 0
    (answer,) = json.loads(said)
    assert answer["wavelength_A"] == pytest.approx(1.5405929)
    assert len(answer["space_group"]) == 5
    assert (tmp_path / "looked" / "scan.png").exists()
    code, said = trainer("predict", out / "best.pt", scan, *options, "--subtract-background")
    assert (code, "scan.xy: space group" in said) == (0, True)


def test_crystalnet_is_trained_and_judged(densities_dataset: Path, tmp_path: Path) -> None:
    small = (
        "width=16 fusion_width=16 growth=2 dense_blocks=1 fourier_frequencies=8 regressor_blocks=2 regressor_layers=1"
    )
    settings = [o for s in small.split() for o in ("--set", f"model.{s}")]
    settings += ["--set", "validation_points=10", "--set", "validation_guesses=1"]
    code, said = trainer(
        "fit", "crystalnet", densities_dataset, "--out", tmp_path / "run", "--epochs", 1, "--batch-size", 8,
        "--divisions", 3, "--composition", "elements", "--systems", "3,4,7", "--device", "cpu", *settings,
    )  # fmt: skip
    assert code == 0, said
    code, said = trainer(
        "evaluate", tmp_path / "run" / "best.pt", densities_dataset, "--guesses", 1, "--points", 10, "--device", "cpu"
    )
    assert code == 0
    assert "mean training density" in said
    code, said = trainer("predict", tmp_path / "run" / "best.pt", "scan.xy", "--wavelength", "1.5")
    assert (code, "expected a checkpoint of alphadiffract" in said) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "alphadiffract", "{nowhere}"), "no dataset here"),
        (("fit", "alphadiffract", "{dataset}", "--set", "model.dropout=1"), "unknown"),
        (("fit", "alphadiffract", "{dataset}", "--set", "epochs"), "expected NAME=VALUE"),
        (("fit", "alphadiffract", "{dataset}", "--input", "images"), "expected one of patterns, sticks"),
        (("fit", "alphadiffract", "{dataset}", "--epochs", "0"), "at least 1"),
        (("fit", "alphadiffract", "{dataset}", "--resume"), "no checkpoint here"),
        (("fit", "alphadiffract", "{dataset}", "--device", "gpu"), "expected cpu, cuda"),
        (("fit", "crystalnet", "{dataset}"), "no structure with a density"),
        (("fit", "crystalnet", "{dataset}", "--composition", "mass"), "composition is one of"),
        (("evaluate", "{dataset}"), "a dataset last"),
        (("evaluate", "{nowhere}", "{dataset}"), "no checkpoint here"),
        (("evaluate", "{text}", "{dataset}"), "found something else"),
        (("evaluate", "{text}", "{dataset}", "--plots"), "needs --out"),
        (("predict", "{text}", "{text}"), "at least one scan"),
        (("predict", "{text}", "scan.xy"), "found something else"),
    ],
)
def test_mistakes_are_a_sentence_and_exit_code_2_and_nothing_is_written(
    arguments: tuple[str, ...], message: str, patterns_dataset: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.pt"
    text.write_text("not a checkpoint")
    names = {"dataset": patterns_dataset, "nowhere": tmp_path / "nowhere", "text": text}
    out = ["--out", str(tmp_path / "out")] if arguments[0] == "fit" else []
    code, said = trainer(*(a.format(**names) for a in arguments), *out)
    assert code == 2
    assert message in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.pt"]


def test_a_damaged_dataset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    datasets.make(path)
    next(p for p in (path / "pattern" / "c").rglob("*") if p.is_file()).unlink()
    code, said = trainer("fit", "alphadiffract", path, "--out", tmp_path / "out", "--device", "cpu", *SMALL)
    assert (code, "run datagen verify" in said) == (2, True)
    assert not (tmp_path / "out").exists()
