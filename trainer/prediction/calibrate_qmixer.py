"""Temperature of QMixer's weights, from the measured scans of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.temperature import HeadCalibration, fit_temperature
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.qmixer import Weights, load_weights, save_weights
from trainer.prediction.scoring.answers import ask_qmixer, qmixer_inputs


def calibrate_qmixer(path: Path | None, dataset: Dataset, out: Path, split: str) -> HeadCalibration:
    """Fit the temperature that makes crystal systems and space groups of a split most likely; write new weights."""
    if out.exists():
        raise TrainerError(f"{out}: exists already; choose another name")
    if not dataset.measured:
        raise TrainerError(
            f"{dataset.path}: expected a dataset of measured scans, as datagen measured makes, found another"
        )
    weights = load_weights(path)
    found = qmixer_inputs(dataset, dataset.rows(split))
    if not found:
        raise TrainerError(f"{dataset.path}: its split {split} has no scan that QMixer can read")
    probability = ask_qmixer(weights, list(found.values()), None).space_group[0]
    truth = dataset.column("space_group")[list(found)].astype(np.int64) - 1
    fitted = fit_temperature(np.log(probability.clip(1e-12)), truth, (0, *SYSTEM_ENDS[:-1]))
    facts = {"dataset": Path(str(dataset.path)).name, "split": split, "scans": len(truth)}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(at_temperature(weights, fitted.temperature, facts), out)
    return fitted


def at_temperature(weights: Weights, temperature: float, facts: dict[str, object]) -> Weights:
    """Return weights whose logits are divided by a temperature; lattices stay as they are."""
    before = weights.facts.get("calibration", {}).get("temperature", 1.0)
    state = {name: value.clone() for name, value in weights.model.state_dict().items()}
    state["space_group.weight"] /= temperature
    state["space_group.bias"] /= temperature
    model = type(weights.model)(weights.model.config)
    model.load_state_dict(state)
    described = {**weights.facts, "calibration": {"temperature": round(before * temperature, 4), **facts}}
    log_prior: torch.Tensor = weights.log_prior / temperature
    return replace(weights, model=model.eval(), log_prior=log_prior, facts=described)
