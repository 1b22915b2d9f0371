"""Temperature of QMixer's weights, from the measured scans of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.temperature import HeadCalibration, fit_temperature
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.qmixer import Weights, load_weights, logits_of_views, save_weights
from trainer.prediction.scoring.answers import AT_ONCE, qmixer_inputs
from trainer.training.distributed import alone


@dataclass(frozen=True)
class Fitted:
    """The calibration, and on how much of the split it rests."""

    head: HeadCalibration
    scans: int
    unlabelled: int
    """Scans of the split that state no space group."""
    out_of_range: int
    """Scans of the split that cover too little of the network's axis."""


def calibrate_qmixer(path: Path | None, dataset: Dataset, out: Path, split: str, device: str = "auto") -> Fitted:
    """Fit the temperature that makes crystal systems and space groups of a split most likely; write new weights."""
    if out.exists():
        raise TrainerError(f"{out}: exists already; choose another name")
    if not dataset.measured:
        raise TrainerError(
            f"{dataset.path}: expected a dataset of measured scans, as datagen measured makes, found another"
        )
    weights = load_weights(path).to(alone(device).device)
    rows = dataset.rows(split)
    groups = dataset.column("space_group").astype(np.int64)
    labelled = rows[groups[rows] > 0]
    found = qmixer_inputs(dataset, labelled)
    if not found:
        raise TrainerError(
            f"{dataset.path}: its split {split} has no scan that states its space group and that QMixer can read: "
            f"{len(rows) - len(labelled)} of {len(rows)} state none"
        )
    inputs = torch.from_numpy(np.stack(list(found.values()))).float()
    logits = torch.cat([logits_of_views(weights, part) for part in torch.split(inputs, AT_ONCE)], dim=1).numpy()
    head = fit_temperature(logits, groups[list(found)] - 1, (0, *SYSTEM_ENDS[:-1]))
    fitted = Fitted(head, len(found), len(rows) - len(labelled), len(labelled) - len(found))
    facts = {"dataset": Path(str(dataset.path)).name, "split": split, "scans": fitted.scans}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(at_temperature(weights, head.temperature, facts), out)
    return fitted


def at_temperature(weights: Weights, temperature: float, facts: dict[str, object]) -> Weights:
    """Return weights whose logits are divided by a temperature; lattices stay as they are."""
    before = weights.facts.get("calibration", {}).get("temperature", 1.0)
    state = {name: value.clone() for name, value in weights.model.state_dict().items()}
    state["space_group.weight"] /= temperature
    state["space_group.bias"] /= temperature
    model = type(weights.model)(weights.model.config)
    model.load_state_dict(state)
    model.to(weights.device)
    described = {**weights.facts, "calibration": {"temperature": round(before * temperature, 4), **facts}}
    log_prior: torch.Tensor = weights.log_prior / temperature
    return replace(weights, model=model.eval(), log_prior=log_prior, facts=described)
