"""Trained networks, and the structures that they can be evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.temperature import CALIBRATION, apply_calibration
from trainer.training import checkpoint
from trainer.training.checkpoint import Checkpoint
from trainer.training.config import Config, kind_of
from trainer.training.datasets import choose_rows, dataset_identity, group_hashes
from trainer.training.networks import load_network
from trainer.training.weights import load_state

EVALUATION_SEED = 0xE7A1
ProgressReport = Callable[[int, int], None]


def load_models(
    paths: Sequence[Path], device: torch.device, *, calibrated: bool = True
) -> tuple[list[nn.Module], list[Checkpoint]]:
    """Load networks of one kind in evaluation mode, with the calibration that they have, and their checkpoints."""
    found = [load_state(path) for path in paths]
    kinds = {kind_of(c.config) for c in found}
    if len(kinds) > 1:
        raise TrainerError(f"expected models of one kind, found {' and '.join(sorted(kinds))}")
    models: list[nn.Module] = []
    for path, state in zip(paths, found, strict=True):
        checkpoint.check_dataset(path, state.dataset)
        model = load_network(state.config, state.weights, str(path))
        if calibrated and CALIBRATION in state.dataset:
            apply_calibration(str(path), model, state.dataset[CALIBRATION])
        models.append(model.to(device).eval())
    return models, found


def refuse_other_instrument(states: Sequence[Checkpoint], dataset: Dataset) -> None:
    """Raise TrainerError if patterns of the dataset are not on the axis that the models were trained on."""
    here = _axis(dataset_identity(dataset))
    for state in states:
        for what, expected in _axis(state.dataset).items():
            found = here[what]
            if len(found) != len(expected) or not np.allclose(found, expected, rtol=1e-6):
                raise TrainerError(
                    f"{dataset.path}: expected {what} {expected} as in training, found {found}; evaluate on a dataset "
                    "of the same instrument and range"
                )


def _axis(identity: dict[str, Any]) -> dict[str, list[float]]:
    lines = identity.get("instrument", {}).get("lines", [])
    return {
        "wavelengths in A": [float(line["wavelength_A"]) for line in lines],
        "2theta from and to": [identity["two_theta_min_deg"], identity["two_theta_max_deg"]],
        "points": [identity["n_points"]],
    }


def structures_of_trained_groups(states: Sequence[Checkpoint], dataset: Dataset, rows: NDArray[np.int64]) -> int | None:
    """Return how many structures have a formula and space group that a model was trained on; None if unknown."""
    kept = [state.dataset["train_groups"].numpy() for state in states if "train_groups" in state.dataset]
    if not kept or len(kept) < len(states):
        return None
    return int(np.isin(group_hashes(dataset, rows), np.concatenate(kept)).sum())


def rows_of_split(config: Config, dataset: Dataset, split: str) -> NDArray[np.int64]:
    """Return the structures of a split that a model of this kind can be evaluated on; refuse an empty split."""
    rows = choose_rows(config, dataset, split)
    if len(rows) == 0:
        raise TrainerError(
            f"{dataset.path}: no structure for {kind_of(config)} in the split {split!r}; give another --split"
        )
    return rows


def slots_of(kind: str, dataset: Dataset, samples: int) -> int:
    """Return from how many patterns of each structure `samples` are chosen; reflections give as many as are wanted."""
    if kind == "sticks":
        return max(dataset.n_augmentations, samples)
    if not dataset.with_patterns:
        raise TrainerError(
            f"{dataset.path}: has reflections only, and the model takes stored patterns; make patterns of them with "
            "datagen render"
        )
    if samples > dataset.n_augmentations:
        raise TrainerError(
            f"{dataset.path}: samples: expected at most the {dataset.n_augmentations} stored per structure, found "
            f"{samples}"
        )
    return dataset.n_augmentations


def as_numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    """Return a tensor in double precision."""
    return np.asarray(tensor.double().cpu().numpy(), dtype=np.float64)
