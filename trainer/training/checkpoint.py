"""Checkpoints: the complete state of a run in one file, written atomically and checked when read."""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

import torch

from trainer.data.limits import MOST_POINTS
from trainer.errors import TrainerError
from trainer.models.alphadiffract import CRYSTAL_SYSTEMS
from trainer.training.config import Config, from_plain, to_plain

FORMAT = "pxrd-trainer-checkpoint"
FORMAT_VERSION = 2
PARTS = ("config", "progress", "model", "optimiser", "generators", "dataset", "average")
DAMAGED = "the file is damaged or was not written by the trainer"


@dataclass
class Progress:
    """Position in a run; `batch` counts the batches of the current epoch, `step` all optimiser steps.

    `patterns` are those of all processes, `seconds` of training over all resumed runs.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float | None = None
    shards: tuple[int, ...] = ()
    """Shards that the current epoch reads; a growing dataset may have more by now."""
    patterns: int = 0
    seconds: float = 0.0


@dataclass
class Checkpoint:
    """Complete state of a run."""

    config: Config
    progress: Progress
    model: dict[str, Any]
    optimiser: dict[str, Any]
    generators: dict[str, torch.Tensor]
    dataset: dict[str, Any]
    """Identity, instrument and crystal systems of the training dataset."""
    average: dict[str, Any] = field(default_factory=dict)
    """Averaged weights beside those of the last step, if the run averages them."""

    @property
    def weights(self) -> dict[str, Any]:
        """Weights to predict with."""
        return self.average or self.model


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: a reader sees the old file or the new one."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": to_plain(checkpoint.config),
        "progress": {**vars(checkpoint.progress), "shards": list(checkpoint.progress.shards)},
        "model": checkpoint.model,
        "optimiser": checkpoint.optimiser,
        "generators": checkpoint.generators,
        "dataset": checkpoint.dataset,
        "average": checkpoint.average,
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
    """Read a checkpoint to the CPU; refuse other files, other versions, and networks other than `kind`."""
    try:
        _refuse_inflating(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainerError(f"{path}: no checkpoint here") from None
    except IsADirectoryError:
        raise TrainerError(f"{path}: expected a checkpoint file, found a folder; give a file such as best.pt") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainerError(
            f"{path}: expected a checkpoint of the trainer, found another or a damaged file ({type(error).__name__})"
        ) from error
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise TrainerError(f"{path}: expected a checkpoint of the trainer, found another file of torch")
    if content.get("format_version") != FORMAT_VERSION:
        raise TrainerError(
            f"{path}: expected checkpoint version {FORMAT_VERSION}, found {content.get('format_version')}; "
            "use the version of the trainer that wrote it"
        )
    for name in PARTS:
        if not isinstance(content.get(name), Mapping) or not all(isinstance(key, str) for key in content[name]):
            raise TrainerError(f"{path}: expected a mapping of names as {name}, found another value; {DAMAGED}")
    for name in ("model", "generators", "average"):
        if not all(isinstance(value, torch.Tensor) for value in content[name].values()):
            raise TrainerError(f"{path}: expected tensors as {name}, found other values; {DAMAGED}")
    found_kind = content["config"].get("kind")
    if kind is not None and found_kind != kind:
        raise TrainerError(f"{path}: expected a checkpoint of {kind}, found one of {found_kind!r:.80}")
    config = read_config(path, content["config"])
    return Checkpoint(
        config=config,
        progress=_progress(path, content["progress"]),
        model=dict(content["model"]),
        optimiser=dict(content["optimiser"]),
        generators=dict(content["generators"]),
        dataset=dict(content["dataset"]),
        average=dict(content["average"]),
    )


def read_config(path: Path, plain: Mapping[str, Any]) -> Config:
    """Return the configuration of a file that may come from elsewhere; refuse anything else."""
    try:
        return from_plain(plain)
    except TrainerError as error:
        raise TrainerError(f"{path}: {error}") from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise TrainerError(f"{path}: expected a configuration, found another value ({error}); {DAMAGED}") from error


def check_dataset(path: Path, dataset: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose description of its dataset lacks what predictions need."""
    low, high, points = (dataset.get(name) for name in ("two_theta_min_deg", "two_theta_max_deg", "n_points"))
    systems, groups = dataset.get("crystal_systems"), dataset.get("train_groups")
    if (
        not (_is_number(low) and _is_number(high) and -180 <= low < high <= 180)
        or not (isinstance(points, int) and 2 <= points <= MOST_POINTS)
        or not (isinstance(systems, list) and len(systems) == CRYSTAL_SYSTEMS)
        or not all(isinstance(name, str) for name in systems)
        or not isinstance(dataset.get("instrument"), Mapping)
        or not (groups is None or (isinstance(groups, torch.Tensor) and groups.dtype == torch.int64))
    ):
        raise TrainerError(
            f"{path}: expected the range of 2theta, instrument and {CRYSTAL_SYSTEMS} crystal systems of its dataset, "
            f"found other values; {DAMAGED}"
        )


def _progress(path: Path, plain: Mapping[str, Any]) -> Progress:
    counts = [plain.get(name) for name in ("epoch", "batch", "step", "patterns")]
    seconds = plain.get("seconds")
    best, shards = plain.get("best"), plain.get("shards")
    if (
        set(plain) != {field.name for field in fields(Progress)}
        or not all(isinstance(count, int) and count >= 0 for count in counts)
        or not (_is_number(seconds) and seconds >= 0)
        or not (best is None or _is_number(best))
        or not (isinstance(shards, list) and all(isinstance(shard, int) for shard in shards))
    ):
        raise TrainerError(f"{path}: expected counts of epochs, batches and steps as progress, found others; {DAMAGED}")
    return Progress(**{**plain, "shards": tuple(shards)})


def _refuse_inflating(path: Path) -> None:
    """Refuse an archive whose files are larger than itself: torch stores tensors uncompressed."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise TrainerError(f"{path}: expected a checkpoint of the trainer, found compressed data")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
