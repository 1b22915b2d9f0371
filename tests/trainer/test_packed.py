"""Structures in one file: the same reflections come back, generated crystals have their share, damage is a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.gpu import made_up
from benchmarks.gpu import main as benchmark
from tests.trainer.test_qmixer import SMALL
from trainer.commands.app import app
from trainer.data.read_flat_sticks import lorentz_polarisation
from trainer.errors import TrainerError
from trainer.prediction.qmixer import load_weights
from trainer.training.fit_qmixer import QMixerTraining, begin, fit_on, read_structures
from trainer.training.packed import pack, unpack
from trainer.training.structures import Structures, drawing_weights, join

GENERATED = replace(made_up(30, 1), generated=torch.ones(30, dtype=torch.bool))


def on_cu(structures: Structures) -> np.ndarray:
    sticks = structures.sticks
    return sticks.f_squared.double().numpy() * lorentz_polarisation(sticks.q.double().numpy())


def with_intensities_of_cu(structures: Structures) -> Structures:
    """Scale each structure's strongest line to 1, as reading a dataset does."""
    sticks = structures.sticks
    owner = np.repeat(np.arange(len(sticks)), sticks.first.diff().numpy())
    top = np.zeros(len(sticks))
    np.maximum.at(top, owner, on_cu(structures))
    scaled = sticks.f_squared / torch.from_numpy(top[owner]).float()
    return replace(structures, sticks=replace(sticks, f_squared=scaled))


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    train = with_intensities_of_cu(join([made_up(20, 0), GENERATED]))
    validation = with_intensities_of_cu(made_up(5, 2))
    pack(tmp_path / "s.npz", train, validation)
    for before, after in zip((train, validation), unpack(tmp_path / "s.npz"), strict=True):
        for name in ("space_group", "lattice", "generated", "group", "d_min_A"):
            assert torch.equal(getattr(before, name), getattr(after, name)), name
        for name in ("first", "member_first", "member_hkl", "reciprocal_metric"):
            assert torch.equal(getattr(before.sticks, name), getattr(after.sticks, name)), name
        torch.testing.assert_close(after.sticks.q, before.sticks.q, rtol=1e-6, atol=0)
        torch.testing.assert_close(after.sticks.member_share, before.sticks.member_share, rtol=1e-3, atol=0)
        strong = on_cu(before) > 1e-3
        np.testing.assert_allclose(on_cu(after)[strong], on_cu(before)[strong], rtol=1e-3)


@pytest.mark.parametrize("change", ["cut", "text", "short", "format"])
def test_another_file_is_a_sentence(tmp_path: Path, change: str) -> None:
    path = tmp_path / "s.npz"
    pack(path, made_up(4, 0), made_up(2, 1))
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif change == "text":
        path.write_text("not an archive")
    else:
        with np.load(path) as content:
            arrays = dict(content)
        arrays |= {"train.lattice": arrays["train.lattice"][:2]} if change == "short" else {"format": np.array("other")}
        np.savez(path, **arrays)
    with pytest.raises(TrainerError, match=r"s\.npz: expected"):
        unpack(path)


def in_groups(count: int, seed: int, first: int) -> Structures:
    """Structures of one group each, numbered from `first`."""
    return replace(made_up(count, seed), group=torch.arange(first, first + count))


def test_what_another_dataset_trains_on_is_not_validated_with(tmp_path: Path) -> None:
    pack(tmp_path / "a.npz", in_groups(6, 0, 1), in_groups(4, 1, 11))
    pack(tmp_path / "b.npz", in_groups(5, 2, 13), in_groups(3, 3, 21))
    said: list[str] = []
    train, validation = read_structures([tmp_path / "a.npz", tmp_path / "b.npz"], [], 8, say=said.append)
    (sentence,) = said
    assert sentence.startswith("2 of 7 validation structures are left out")
    assert len(train) == 11
    assert validation.group.tolist() == [11, 12, 21, 22, 23]
    kept = join(
        [part.of(torch.arange(n)) for part, n in ((unpack(tmp_path / "a.npz")[1], 2), (in_groups(3, 3, 21), 3))]
    )
    for name in ("first", "member_first", "member_hkl", "reciprocal_metric"):
        assert torch.equal(getattr(validation.sticks, name), getattr(kept.sticks, name)), name
    pack(tmp_path / "c.npz", in_groups(9, 4, 11), in_groups(2, 5, 1))
    with pytest.raises(TrainerError, match="no structure to validate with is left"):
        read_structures([tmp_path / "a.npz"], [tmp_path / "c.npz"], 8)


def test_files_without_groups_and_ends_are_still_read(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    pack(path, in_groups(4, 0, 1), in_groups(2, 1, 1))
    with np.load(path) as content:
        older = {name: value for name, value in content.items() if not name.endswith((".group", ".d_min_A"))}
    np.savez(path, **older)
    train, validation = read_structures([path], [], 8)
    assert (len(train), len(validation)) == (4, 2)
    assert not train.group.any()
    assert not train.d_min_A.any()


def of_two_groups(first: int, seed: int = 0) -> Structures:
    """30 crystals of P23, `first` of them, and P2_13, which have one Bravais lattice."""
    return replace(made_up(30, seed), space_group=torch.tensor([194] * first + [197] * (30 - first)))


def test_a_run_is_resumed_with_its_own_structures_only(tmp_path: Path) -> None:
    config = QMixerTraining(patterns=8, batch=8, model=SMALL)
    fit_on(config, of_two_groups(15), made_up(4, 1), tmp_path)
    longer = replace(config, patterns=16)
    with pytest.raises(TrainerError, match=r"last.pt: begun on other structures: the mean cells are not those"):
        fit_on(longer, of_two_groups(15, seed=7), made_up(4, 1), tmp_path, resume=True)
    with pytest.raises(TrainerError, match="the frequencies of space groups are not those"):
        fit_on(longer, of_two_groups(20), made_up(4, 1), tmp_path, resume=True)
    assert fit_on(longer, of_two_groups(15), made_up(4, 1), tmp_path, resume=True).step == 2
    (tmp_path / "last.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(TrainerError, match="expected a checkpoint of qmixer, found another or a damaged file"):
        fit_on(longer, of_two_groups(15), made_up(4, 1), tmp_path, resume=True)


def test_generated_crystals_have_their_share_and_no_say_in_frequencies() -> None:
    stored = made_up(50, 0)
    both = join([stored, GENERATED])
    weights = drawing_weights(both, 0.5, 0.3)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert float(weights[both.generated].sum()) == pytest.approx(0.3)
    assert float(drawing_weights(stored, 0.5, 0.3).sum()) == pytest.approx(1.0)
    assert float(drawing_weights(GENERATED, 0.5, 0.3).sum()) == pytest.approx(1.0)
    config = QMixerTraining(patterns=1)
    state = begin(config, both)
    drawn = torch.bincount(both.space_group, weights, minlength=230)
    natural = torch.softmax(torch.log(drawn.clamp(min=1e-30)) - state.log_prior.double(), dim=0)
    counts = torch.bincount(stored.space_group, minlength=230).double()
    had = counts > 0
    torch.testing.assert_close(natural[had] / natural[had].sum(), (counts[had] + 0.5) / (counts[had] + 0.5).sum())
    only_generated = (drawn > 0) & ~had
    assert float(natural[only_generated].max()) < float(natural[had].min())


def test_the_command_packs_and_training_takes_the_file(tmp_path: Path) -> None:
    pack(tmp_path / "s.npz", made_up(30, 0), made_up(4, 1))
    runner = CliRunner()
    fit = ["fit", "qmixer", str(tmp_path / "s.npz"), "--out", str(tmp_path / "run"), "--batch-size", "8"]
    done = runner.invoke(app, [*fit, "--patterns", "16", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["patterns"] == 16
    unknown = runner.invoke(app, [*fit, "--patterns", "16", "--size", "huge"])
    assert unknown.exit_code == 2
    assert "expected one of small, large" in unknown.output
    refused = runner.invoke(app, ["pack", str(tmp_path / "none.zarr"), "--out", str(tmp_path / "s.zip")])
    assert refused.exit_code == 2
    assert "ends in .npz" in refused.output


def test_the_benchmark_of_a_gpu_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = json.dumps({"stem_channels": 8, "channels": 16, "blocks": 1, "mixing": 32, "hidden": 64, "features": 48})
    arguments = ["--quick", "--seconds", "0", "--train-minutes", "0.02", "--out", str(tmp_path)]
    found = benchmark([*arguments, "--model-set", small, "--train-set", '{"batch": 4}'])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert not [name for name, value in found.items() if str(value).startswith("failed")], found
    assert found["drawing_difference"] == found["input_difference"] == 0.0
    assert found["training"]["patterns"] > 0
    assert json.loads((tmp_path / "gpu.json").read_text()) == found
    assert load_weights(tmp_path / "qmixer.safetensors").facts["patterns"] == found["training"]["patterns"]
