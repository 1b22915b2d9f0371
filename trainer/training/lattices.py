"""By what are lattice errors measured? Mean and spread of the Niggli cells on the training side of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.data.store import Dataset
from trainer.errors import TrainerError

LEAST_DEVIATION = np.array([0.1, 0.1, 0.1, 1.0, 1.0, 1.0])
"""Angstroms and degrees: cells that are all alike have no spread to measure errors by."""


@dataclass(frozen=True)
class LatticeStatistics:
    """Mean and standard deviation of a, b, c (A), alpha, beta, gamma (deg)."""

    mean: Tensor
    deviation: Tensor


def lattice_statistics(dataset: Dataset, device: torch.device) -> LatticeStatistics:
    """Of all training cells, those of shards still to come among them: the numbers do not change on the way."""
    (train,) = (value for value, name in dataset.vocabulary("split").items() if name == "train")
    cells = dataset.column("niggli")[dataset.column("split") == train].astype(np.float64)
    if len(cells) == 0:
        raise TrainerError(f"{dataset.path}: no structure on the train side of the split")
    deviation = np.maximum(cells.std(axis=0), LEAST_DEVIATION)
    as_tensors = (torch.tensor(x, dtype=torch.float32, device=device) for x in (cells.mean(axis=0), deviation))
    return LatticeStatistics(*as_tensors)
