"""Checkpoints: whole or not at all, plain data only, refused where they are not what was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import small
from trainer.errors import TrainerError
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoint, Progress


def state(value: float = 1.0) -> Checkpoint:
    model = {"weight": torch.full((2, 2), value)}
    generators = {"torch-0": torch.get_rng_state()}
    return Checkpoint(
        small.ALPHADIFFRACT, Progress(1, 2, 3, 0.5, (0, 4), 48, 1.5), model, {"state": {}}, generators, {"n": 1}
    )


def test_everything_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", state())
    found = checkpoint.load(tmp_path / "a.pt", "alphadiffract")
    assert found.config == small.ALPHADIFFRACT
    assert found.progress == Progress(1, 2, 3, 0.5, (0, 4), 48, 1.5)
    assert torch.equal(found.model["weight"], torch.ones(2, 2))
    assert found.dataset == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, state(1.0))

    def full_disk(content: Any, out: Any) -> None:
        out.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, state(2.0))
    assert checkpoint.load(path).model["weight"][0, 0] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


class Malice:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("owned",)


def test_what_is_not_a_checkpoint_is_refused_and_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = tmp_path / "good.pt"
    checkpoint.save(good, state())
    cut = tmp_path / "cut.pt"
    cut.write_bytes(good.read_bytes()[:-500])
    text = tmp_path / "text.pt"
    text.write_text("5.0 100\n")
    empty = tmp_path / "empty.pt"
    empty.touch()
    malice = tmp_path / "malice.pt"
    torch.save({"format": checkpoint.FORMAT, "it": Malice()}, malice)
    for path in (cut, text, empty, malice):
        with pytest.raises(TrainerError, match="found another or a damaged file"):
            checkpoint.load(path)
    assert not (tmp_path / "owned").exists()
    with pytest.raises(TrainerError, match="no checkpoint here"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(TrainerError, match="found a folder"):
        checkpoint.load(tmp_path)


def test_other_formats_versions_and_models_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1)}, tmp_path / "bare.pt")
    with pytest.raises(TrainerError, match="another file of torch"):
        checkpoint.load(tmp_path / "bare.pt")
    checkpoint.save(tmp_path / "a.pt", state())
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    torch.save({**content, "format_version": 99}, tmp_path / "new.pt")
    with pytest.raises(TrainerError, match="expected checkpoint version 2, found 99"):
        checkpoint.load(tmp_path / "new.pt")
    with pytest.raises(TrainerError, match="expected a checkpoint of crystalnet, found one of 'alphadiffract'"):
        checkpoint.load(tmp_path / "a.pt", "crystalnet")
