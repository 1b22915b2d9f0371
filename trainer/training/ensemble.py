"""Ensembles: the same training with several seeds, each in a folder of its own.

Under torchrun every process trains members of its own, so that a batch is as large as that of one model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from trainer.errors import TrainerError
from trainer.training import checkpoint
from trainer.training.budget import is_finished
from trainer.training.config import Config, kind_of
from trainer.training.fit import Outcome, Reporter, fit
from trainer.training.state import BEST, LAST

MEMBERS = "seed-*"


def member_folder(out: Path, seed: int) -> Path:
    """Return the folder of the model with this seed."""
    return out / MEMBERS.replace("*", str(seed))


def member_checkpoints(folder: Path) -> list[Path]:
    """Return the best checkpoints of an ensemble, by seed; refuse one with a model that has none yet."""
    members = sorted(folder.glob(MEMBERS), key=lambda path: (len(path.name), path.name))
    if unready := [member for member in members if not (member / BEST).is_file()]:
        raise TrainerError(
            f"{unready[0]}: has no {BEST} yet; resume the training, or name the checkpoints of the other models"
        )
    return [member / BEST for member in members]


def with_members(models: Sequence[Path]) -> list[Path]:
    """Replace the folders of ensembles by the checkpoints of their models."""
    return [path for model in models for path in (member_checkpoints(model) if is_ensemble(model) else [model])]


def is_ensemble(path: Path) -> bool:
    """Return whether a path is the folder of an ensemble."""
    return path.is_dir() and any(member.is_dir() for member in path.glob(MEMBERS))


def fit_ensemble(
    configure: Callable[[Config | None], Config],
    seeds: Sequence[int],
    dataset: str | Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Outcome:
    """Train the models of an ensemble one after another; return the outcome of the last, or of the one that stopped.

    `configure` makes the settings from those of the checkpoint that is resumed, if any. With `resume`, finished models
    are left as they are, an interrupted one is resumed, and others begin with the settings of those.
    """
    if len(set(seeds)) != len(seeds) or not seeds:
        raise TrainerError(f"--seeds: expected different numbers, found {', '.join(map(str, seeds)) or 'none'}")
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if len(seeds) < world:
        raise TrainerError(f"expected a model for each of {world} processes, found {len(seeds)} models")
    if (out / LAST).exists():
        raise TrainerError(f"{out}: holds a single model; choose another --out for an ensemble")
    mine = seeds[rank::world]
    begun = [seed for seed in (seeds if resume else mine) if (member_folder(out, seed) / LAST).exists()]
    if begun and not resume:
        raise TrainerError(f"{member_folder(out, begun[0])} exists; resume it with --resume or choose another --out")
    if resume and not begun:
        raise TrainerError(f"{member_folder(out, seeds[0])}: no checkpoint here")
    first = configure(_settings(out, begun[0]) if resume else None)
    outcome = None
    for seed in mine:
        folder = member_folder(out, seed)
        resumed = (folder / LAST).exists()
        config = configure(_settings(out, seed)) if resumed else replace(first, seed=seed)
        if resumed:
            progress = checkpoint.load(folder / LAST, kind_of(config)).progress
            if is_finished(config, progress):
                outcome = Outcome(True, progress, {})
                continue
        outcome = fit(config, dataset, folder, resume=resumed, device=_device(device), reporter=reporter, alone=True)
        if not outcome.finished:
            return outcome
    assert outcome is not None
    return outcome


def _settings(out: Path, seed: int) -> Config:
    return checkpoint.load(member_folder(out, seed) / LAST).config


def _device(device: str) -> str:
    """Return the device of this process of torchrun."""
    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
