"""Ensembles: each member as if trained alone, resumable at any of them, evaluated and used as a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import trainer
from tests.trainer import small
from tests.trainer.test_cli import SMALL
from tests.trainer.test_fit import StopAt, same, weights
from trainer.commands.app import app
from trainer.errors import TrainerError
from trainer.training import checkpoint
from trainer.training.config import Config
from trainer.training.ensemble import fit_ensemble, member_checkpoints
from trainer.training.fit import fit
from trainer.training.state import BEST, LAST

CONFIG = replace(small.ALPHADIFFRACT, samples_per_structure=1, epochs=1, deterministic=True)


def keep(config: Config = CONFIG) -> Callable[[Config | None], Config]:
    return lambda resumed: resumed or config


@pytest.fixture(scope="module")
def ensemble(patterns_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, stopped in the second, and resumed."""
    out = tmp_path_factory.mktemp("ensemble")
    stopped = fit_ensemble(keep(), (0, 10, 2), patterns_dataset, out, device="cpu", reporter=StopAt(3))
    assert not stopped.finished
    assert sorted(p.name for p in out.iterdir()) == ["seed-0", "seed-10"]
    first = (out / "seed-0" / LAST).stat().st_mtime_ns
    assert fit_ensemble(keep(), (0, 10, 2), patterns_dataset, out, device="cpu", resume=True).finished
    assert (out / "seed-0" / LAST).stat().st_mtime_ns == first  # finished, so left alone
    return out


def test_members_are_those_trained_alone(ensemble: Path, patterns_dataset: Path, tmp_path: Path) -> None:
    for seed in (10, 2):
        fit(replace(CONFIG, seed=seed), patterns_dataset, tmp_path / str(seed), device="cpu")
        assert same(weights(ensemble / f"seed-{seed}"), weights(tmp_path / str(seed)))
    assert [p.parent.name for p in member_checkpoints(ensemble)] == ["seed-0", "seed-2", "seed-10"]


def test_processes_of_torchrun_share_the_members(
    patterns_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank, members in ((1, ["seed-1"]), (0, ["seed-0", "seed-1", "seed-2"])):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        fit_ensemble(keep(), (0, 1, 2), patterns_dataset, tmp_path, device="cpu")
        assert sorted(p.name for p in tmp_path.iterdir()) == members
    assert checkpoint.load(tmp_path / "seed-2" / LAST).config.seed == 2
    with pytest.raises(TrainerError, match="expected a model for each of 2 processes, found 1"):
        fit_ensemble(keep(), (0,), patterns_dataset, tmp_path / "few", device="cpu")


def test_the_folder_is_evaluated_and_predicts_as_its_models(
    ensemble: Path, patterns_dataset: Path, tmp_path: Path
) -> None:
    reports = []
    for number, models in enumerate(([ensemble], member_checkpoints(ensemble))):
        out = tmp_path / str(number)
        arguments = ["evaluate", *map(str, models), str(patterns_dataset), "--out", str(out), "--device", "cpu"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert "Ensemble and its models" in result.output
        reports.append(json.loads((out / "report.json").read_text()))
    assert reports[0] == reports[1]
    assert reports[0]["models"] == 3
    alone = reports[0]["crystal_system"]["single_models"]
    for path, accuracy in zip(member_checkpoints(ensemble)[:1], alone[:1], strict=True):
        out = tmp_path / path.parent.name
        CliRunner().invoke(app, ["evaluate", str(path), str(patterns_dataset), "--out", str(out), "--device", "cpu"])
        report = json.loads((out / "report.json").read_text())
        assert report["crystal_system"]["accuracy"] == accuracy
        assert report["crystal_system"]["single_models"] == []


def test_the_folder_predicts_as_its_models(ensemble: Path, tmp_path: Path) -> None:
    angle = np.linspace(4, 60, 4000)
    scan = tmp_path / "scan.xy"
    np.savetxt(scan, np.stack([angle, 100 + 1000 * np.exp(-0.5 * ((angle - 30) / 0.05) ** 2)], axis=1))
    members = member_checkpoints(ensemble)
    found = [trainer.predict(m, scan, "CuKa1", draws=0, device="cpu")[0].as_dict() for m in (ensemble, members)]
    assert found[0] == found[1]
    options = ["--wavelength", "CuKa1", "--draws", "0", "--json", "--device", "cpu"]
    result = CliRunner().invoke(app, ["predict", str(ensemble), str(scan), *options])
    assert json.loads(result.stdout)[0]["space_group"] == found[0]["space_group"]


def test_a_model_without_weights_yet_is_named(ensemble: Path) -> None:
    best = ensemble / "seed-2" / BEST
    hidden = best.rename(best.with_suffix(".away"))
    try:
        with pytest.raises(TrainerError, match=r"seed-2: has no best\.pt yet; resume"):
            trainer.predict(ensemble, "scan.xy", device="cpu")
    finally:
        hidden.rename(best)


def test_the_command_trains_an_ensemble_and_resumes_it(patterns_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    common = ["fit", "alphadiffract", str(patterns_dataset), "--out", str(out), "--device", "cpu", "--ensemble", "2"]
    more = ["--seed", "5", "--epochs", "1", "--samples", "1", "--schedule", "cosine", "--ema", "0.9", *SMALL]
    result = CliRunner().invoke(app, [*common, *more])
    assert (result.exit_code, "Trained 2 models" in result.output) == (0, True), result.output
    configs = [checkpoint.load(out / f"seed-{seed}" / LAST).config for seed in (5, 6)]
    assert replace(configs[0], seed=6) == configs[1]
    assert (type(configs[0].schedule).__name__, configs[0].ema) == ("Cosine", 0.9)
    result = CliRunner().invoke(app, [*common, "--seed", "5"])
    assert (result.exit_code, "resume it with --resume" in " ".join(result.output.split())) == (2, True)
    result = CliRunner().invoke(app, [*common, "--seed", "5", "--resume", "--epochs", "2"])
    assert result.exit_code == 0, result.output
    assert checkpoint.load(out / "seed-6" / LAST).progress.epoch == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ensemble", "2", "--seeds", "1,2"), "either --ensemble or --seeds"),
        (("--seeds", "1,1"), "expected different numbers, found 1, 1"),
        (("--ensemble", "2", "--resume"), "no checkpoint here"),
        (("--schedule", "linear"), "expected one of cyclic, cosine, restarts, constant"),
        (("--preset", "ours"), "--preset ours: expected one of paper, few-structures"),
        (("--ensemble", "2", "--balance", "classes"), "balance: expected one of"),
        (("--ensemble", "2"), "expected patterns of 8192 points"),
    ],
)
def test_mistakes_are_a_sentence_and_leave_nothing(
    options: tuple[str, ...], message: str, patterns_dataset: Path, tmp_path: Path
) -> None:
    command = ["fit", "alphadiffract", str(patterns_dataset), "--out", str(tmp_path / "run"), "--device", "cpu"]
    result = CliRunner().invoke(app, [*command, *options])
    assert (result.exit_code, message in " ".join(result.output.split())) == (2, True), result.output
    assert not (tmp_path / "run").exists()
