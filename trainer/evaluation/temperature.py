"""Temperature and class prior that make the probabilities of a network match how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.errors import TrainerError
from trainer.models.alphadiffract import CRYSTAL_SYSTEMS, SPACE_GROUPS, AlphaDiffract

Array = NDArray[np.float64]
CALIBRATION = "calibration"
"""Entry of a checkpoint's description of its dataset."""
HEADS = {"crystal_system": CRYSTAL_SYSTEMS, "space_group": SPACE_GROUPS}
TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(10.0), 80))
SHARES = np.linspace(0.0, 1.0, 11)
"""Of the class prior that are tried."""
PSEUDO_COUNT = 5.0
"""Added to the counts of each class: rare classes have little to say."""


@dataclass(frozen=True)
class HeadCalibration:
    """Calibrated logits are logits / temperature + bias."""

    temperature: float
    bias: Array
    before: float
    """Mean negative logarithm of the probability of the truth."""
    after: float


def fit_calibration(logits: Array, truth: NDArray[np.int64], *, prior: bool = True) -> HeadCalibration:
    """Fit temperature and class prior of one head to (sample, class) logits by the likelihood of the truths.

    The prior is a share of log(how often a class occurs / how often it is predicted).
    """
    if len(truth) == 0:
        raise TrainerError("expected labels to calibrate with, found none")
    before = _loss(logits, truth)
    best = (before, 1.0, np.zeros(logits.shape[1]))
    for temperature in TEMPERATURES.tolist():
        scaled = logits / temperature
        expected = _softmax(scaled).sum(axis=0)
        counts = np.bincount(truth, minlength=logits.shape[1])
        ratio = np.log((counts + PSEUDO_COUNT) / (expected + PSEUDO_COUNT))
        for share in SHARES if prior else SHARES[:1]:
            loss = _loss(scaled + share * ratio, truth)
            if loss < best[0]:
                best = (loss, temperature, share * ratio)
    return HeadCalibration(best[1], best[2], before, best[0])


def fit_temperature(logits: Array, truth: NDArray[np.int64], systems: Sequence[int]) -> HeadCalibration:
    """Fit the temperature alone, by the likelihood of the classes and of the systems that begin at these classes.

    Logits are (view, sample, class): probabilities are averaged over views after the temperature, as in predictions.
    """
    if len(truth) == 0:
        raise TrainerError("expected labels to calibrate with, found none")
    system = np.searchsorted(systems, truth, side="right") - 1

    def loss(temperature: float) -> float:
        probability = _softmax(logits / temperature).mean(axis=0)
        summed = np.add.reduceat(probability, systems, axis=1)
        return sum(_loss(np.log(p.clip(1e-12)), of) for p, of in ((probability, truth), (summed, system)))

    losses = [loss(temperature) for temperature in TEMPERATURES.tolist()]
    best = int(np.argmin(losses))
    return HeadCalibration(float(TEMPERATURES[best]), np.zeros(logits.shape[-1]), loss(1.0), losses[best])


def plain_calibration(heads: Mapping[str, HeadCalibration], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint stores."""
    stored = {
        name: {"temperature": head.temperature, "bias": torch.from_numpy(head.bias)} for name, head in heads.items()
    }
    return {**stored, "facts": dict(facts)}


def apply_calibration(where: str, model: nn.Module, stored: Any) -> None:
    """Fold a stored calibration into the last layers of both classification heads."""
    if not isinstance(model, AlphaDiffract):
        raise TrainerError(f"{where}: expected a calibration of alphadiffract only, found one of another network")
    for name, classes in HEADS.items():
        entry = stored.get(name) if isinstance(stored, Mapping) else None
        temperature = entry.get("temperature") if isinstance(entry, Mapping) else None
        bias = entry.get("bias") if isinstance(entry, Mapping) else None
        if (
            not isinstance(temperature, float)
            or not 1e-3 < temperature < 1e3
            or not isinstance(bias, torch.Tensor)
            or bias.shape != (classes,)
            or not bool(torch.isfinite(bias).all())
        ):
            raise TrainerError(f"{where}: its calibration of {name} is malformed; calibrate the checkpoint again")
        last = getattr(model, name)[-1]
        with torch.no_grad():
            last.weight /= temperature
            last.bias.copy_(last.bias / temperature + bias.to(last.bias))


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _loss(logits: Array, truth: NDArray[np.int64]) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(truth)), truth]).mean())
