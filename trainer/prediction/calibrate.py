"""Calibration of a checkpoint on a split of a dataset, kept in a copy of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.loader import Loader
from trainer.data.sampler import Sampler
from trainer.data.sources import LabelColumns
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import (
    EVALUATION_SEED,
    as_numpy,
    load_models,
    refuse_other_instrument,
    rows_of_split,
    slots_of,
)
from trainer.evaluation.temperature import CALIBRATION, HEADS, HeadCalibration, fit_calibration, plain_calibration
from trainer.models.alphadiffract import AlphaDiffract
from trainer.prediction.scoring.answers import AT_ONCE, alphadiffract_inputs
from trainer.simulate.noise import standardise
from trainer.training import checkpoint
from trainer.training.config import AlphaDiffractTraining
from trainer.training.datasets import build_inputs, source_of
from trainer.training.distributed import alone


@torch.no_grad()
def calibrate(
    path: Path, dataset: Dataset, out: Path, *, split: str = "validation", prior: bool = True, device: str = "auto"
) -> dict[str, HeadCalibration]:
    """Fit temperature and class prior on a split, and write a copy of the checkpoint that has them.

    The split must not have been trained on. A checkpoint that is calibrated already is calibrated again.
    """
    if out.exists():
        raise TrainerError(f"{out}: exists already; choose another name")
    place = alone(device)
    (model,), (state,) = load_models([path], place.device, calibrated=False)
    config = state.config
    if not isinstance(model, AlphaDiffract) or not isinstance(config, AlphaDiffractTraining):
        raise TrainerError(f"{path}: expected a checkpoint of alphadiffract, found one of another network")
    if split == "train":
        raise TrainerError("--split train: expected a split that the model was not trained on")
    rows = rows_of_split(config, dataset, split)
    if dataset.measured:
        inputs: Iterable[tuple[torch.Tensor, NDArray[np.int64]]] = _of_scans(dataset, rows, state.dataset)
    else:
        refuse_other_instrument([state], dataset)
        inputs = _of_patterns(config, dataset, rows, place.device)
    logits: dict[str, list[NDArray[np.float64]]] = {name: [] for name in HEADS}
    used: list[NDArray[np.int64]] = []
    for pattern, batch_rows in inputs:
        found = model(pattern.to(place.device))
        used.append(batch_rows)
        for name in HEADS:
            logits[name].append(as_numpy(getattr(found, name)))
    if not used:
        raise TrainerError(f"{dataset.path}: no scan covers the range that the model needs")
    at = np.concatenate(used)
    heads = {
        name: fit_calibration(np.concatenate(logits[name]), dataset.column(name)[at].astype(np.int64) - 1, prior=prior)
        for name in HEADS
    }
    facts = {"dataset": str(dataset.path), "split": split, "patterns": len(at), "prior": prior}
    kept = {**state.dataset, CALIBRATION: plain_calibration(heads, facts)}
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(out, replace(state, dataset=kept))
    return heads


def _of_patterns(
    config: AlphaDiffractTraining, dataset: Dataset, rows: NDArray[np.int64], device: torch.device
) -> Iterable[tuple[torch.Tensor, NDArray[np.int64]]]:
    labels = LabelColumns(dataset, rows)
    sampler = Sampler(rows, AT_ONCE, 1, slots_of(config.input, dataset, 1), pool_structures=128, shuffle=False)
    loader: Loader[Any, Any] = Loader(source_of(config.input, dataset, labels), sampler, config.workers)
    inputs, generator = build_inputs(config, dataset), torch.Generator(device).manual_seed(EVALUATION_SEED)
    for batch in loader.epoch(0):
        yield inputs(batch.to(device), generator)[0], batch.row.numpy()


def _of_scans(
    dataset: Dataset, rows: NDArray[np.int64], identity: dict[str, Any]
) -> Iterable[tuple[torch.Tensor, NDArray[np.int64]]]:
    found = alphadiffract_inputs(dataset, rows, identity)
    at = np.array(sorted(found), dtype=np.int64)
    for first in range(0, len(at), AT_ONCE):
        batch = at[first : first + AT_ONCE]
        yield standardise(torch.from_numpy(np.stack([found[row] for row in batch.tolist()])).float()), batch
