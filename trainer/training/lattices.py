"""Mean and standard deviation of the Niggli cells of the training split, the units of lattice errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.data.store import Dataset

LEAST_DEVIATION = np.array([0.1, 0.1, 0.1, 1.0, 1.0, 1.0])
"""A and degrees, for datasets whose cells are all alike."""


@dataclass(frozen=True)
class LatticeStatistics:
    """Mean and standard deviation of a, b, c (A), alpha, beta, gamma (deg)."""

    mean: Tensor
    deviation: Tensor


def lattice_statistics(dataset: Dataset, device: torch.device) -> LatticeStatistics:
    """Return the statistics of all training structures, including those of shards not yet committed."""
    cells = dataset.column("niggli")[dataset.training_structures()].astype(np.float64)
    deviation = np.maximum(cells.std(axis=0), LEAST_DEVIATION)
    as_tensors = (torch.tensor(x, dtype=torch.float32, device=device) for x in (cells.mean(axis=0), deviation))
    return LatticeStatistics(*as_tensors)
