"""Weights of AlphaDiffract and CrystalNet as safetensors: the network alone, with its configuration and input grid.

A checkpoint of a tenth of the size, which other programs can read. QMixer's weights have a format of their own
(`trainer.prediction.qmixer`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoint, Progress
from trainer.training.config import to_plain

SUFFIX = ".safetensors"
METADATA = "pxrd"
"""Name of the entry of a file's metadata."""
FORMAT, FORMAT_VERSION = "pxrd-trainer-weights", 1
TRAIN_GROUPS = "train_groups"
"""Tensor beside the weights: hashes of the groups trained on, by which an evaluation counts structures seen."""


def save(path: Path, state: Checkpoint, model: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write the weights of a checkpoint, as `model` has them, with facts about inputs and outputs."""
    from safetensors.torch import save_file

    dataset = {name: value for name, value in state.dataset.items() if name != TRAIN_GROUPS}
    described = {
        **facts,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": to_plain(state.config),
        "dataset": {**dataset, "path": Path(str(dataset.get("path", ""))).name},
        "step": state.progress.step,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.items()}
    if TRAIN_GROUPS in state.dataset:
        tensors[TRAIN_GROUPS] = state.dataset[TRAIN_GROUPS]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, metadata={METADATA: json.dumps(described, sort_keys=True)})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def format_of(path: Path) -> str | None:
    """Return the format that a file of safetensors states, None if it states none."""
    facts = _read_facts(path)
    found = facts.get("format")
    return found if isinstance(found, str) else None


def load(path: Path) -> Checkpoint:
    """Read weights as a checkpoint that cannot be resumed; refuse other files and other versions."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    facts = _read_facts(path)
    if facts.get("format") != FORMAT or facts.get("format_version") != FORMAT_VERSION:
        raise TrainerError(
            f"{path}: expected weights of {FORMAT} {FORMAT_VERSION}, found {facts.get('format')!r:.80} "
            f"{facts.get('format_version')!r:.80}"
        )
    config, dataset, step = facts.get("config"), facts.get("dataset"), facts.get("step")
    if not isinstance(config, dict) or not isinstance(dataset, dict) or not isinstance(step, int):
        raise TrainerError(f"{path}: expected configuration, dataset and step in its metadata; {checkpoint.DAMAGED}")
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise _unreadable(path, error) from error
    if TRAIN_GROUPS in tensors:
        dataset = {**dataset, TRAIN_GROUPS: tensors.pop(TRAIN_GROUPS)}
    return Checkpoint(checkpoint.read_config(path, config), Progress(step=step), tensors, {}, {}, dataset)


def load_state(path: Path) -> Checkpoint:
    """Read a checkpoint (.pt) or weights (.safetensors)."""
    return load(path) if path.suffix == SUFFIX else checkpoint.load(path)


def _read_facts(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {}).get(METADATA, "{}"))
    except FileNotFoundError:
        raise TrainerError(f"{path}: no weights here") from None
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise _unreadable(path, error) from error
    return facts if isinstance(facts, dict) else {}


def _unreadable(path: Path, error: Exception) -> TrainerError:
    first_line = (str(error).splitlines() or [""])[0]
    return TrainerError(f"{path}: expected weights in safetensors, found something else ({first_line:.200})")
