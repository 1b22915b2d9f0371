"""Frequencies of classes among drawn structures, and the logits that undo them.

A network trained on logits plus log(drawn / natural frequency) learns logits of the natural frequencies, although it
saw rare classes more often (logit adjustment, Menon et al., ICLR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.sampler import balancing_weights
from trainer.data.store import Dataset
from trainer.models.alphadiffract import CRYSTAL_SYSTEMS, SPACE_GROUPS


@dataclass(frozen=True)
class LogitAdjustments:
    """Logarithm of drawn over natural frequency of each class; 0 for classes without training structures."""

    crystal_system: Tensor
    space_group: Tensor


def logit_adjustments(dataset: Dataset, balance: str, power: float, device: torch.device) -> LogitAdjustments:
    """Return the adjustments for all training structures, including those of shards not yet committed."""
    chosen = dataset.training_structures()
    systems = dataset.column("crystal_system")[chosen].astype(np.int64) - 1
    groups = dataset.column("space_group")[chosen].astype(np.int64) - 1
    weights = balancing_weights(systems if balance == "crystal-system" else groups, power)

    def adjustment(classes: NDArray[np.int64], number: int) -> Tensor:
        natural = np.bincount(classes, minlength=number) / len(classes)
        drawn = np.bincount(classes, weights, minlength=number) / weights.sum()
        present = natural > 0
        ratio = np.ones(number)
        ratio[present] = drawn[present] / natural[present]
        return torch.tensor(np.log(ratio), dtype=torch.float32, device=device)

    return LogitAdjustments(adjustment(systems, CRYSTAL_SYSTEMS), adjustment(groups, SPACE_GROUPS))
