"""What must be kept for training to go on as if it had never stopped? Everything, in one file, put in place whole."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError
from trainer.training.config import Config, from_plain, to_plain

FORMAT = "pxrd-trainer-checkpoint"
FORMAT_VERSION = 1


@dataclass
class Progress:
    """Where in a run one is; ``batch`` counts the current epoch's batches already trained on, ``step`` all updates."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float | None = None
    shards: tuple[int, ...] = ()
    """Committed shards that the current epoch reads: a dataset still being made may have more by now."""


@dataclass
class Checkpoint:
    """A run's complete state."""

    config: Config
    progress: Progress
    model: dict[str, Any]
    optimiser: dict[str, Any]
    generators: dict[str, torch.Tensor]
    dataset: dict[str, Any]
    """Identity and instrument of the dataset it was trained on, and its label vocabulary."""


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write beside the target, make it durable, rename it into place: a reader sees the old file or the new one."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": to_plain(checkpoint.config),
        "progress": {**vars(checkpoint.progress), "shards": list(checkpoint.progress.shards)},
        "model": checkpoint.model,
        "optimiser": checkpoint.optimiser,
        "generators": checkpoint.generators,
        "dataset": checkpoint.dataset,
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as out:
            torch.save(content, out)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path, kind: str | None = None) -> Checkpoint:
    """Read a checkpoint, on the CPU; refuses what is not one, another version, or another model than ``kind``."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainerError(f"{path}: no checkpoint here") from None
    except IsADirectoryError:
        raise TrainerError(f"{path}: expected a checkpoint file, found a folder; name a file such as best.pt") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainerError(
            f"{path}: expected a checkpoint of the trainer, found something else or a damaged one "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise TrainerError(f"{path}: expected a checkpoint of the trainer, found another file of torch")
    if content.get("format_version") != FORMAT_VERSION:
        raise TrainerError(
            f"{path}: expected checkpoint version {FORMAT_VERSION}, found {content.get('format_version')}; "
            "use the version of the trainer that wrote it"
        )
    found_kind = content["config"].get("kind")
    if kind is not None and found_kind != kind:
        raise TrainerError(f"{path}: expected a checkpoint of {kind}, found one of {found_kind}")
    progress = Progress(**{**content["progress"], "shards": tuple(content["progress"]["shards"])})
    return Checkpoint(
        config=from_plain(content["config"]),
        progress=progress,
        model=content["model"],
        optimiser=content["optimiser"],
        generators=content["generators"],
        dataset=content["dataset"],
    )
