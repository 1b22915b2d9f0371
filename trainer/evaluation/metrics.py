"""Figures of AlphaDiffract's evaluation: accuracies, lattice errors, and the paper's uncertainties of both.

Equations of Sec. 5.6; `trainer.evaluation.sums` accumulates what they need.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

Z_975 = 1.959963984540054
LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class Accuracy:
    """A fraction of correct samples, with 95 % half-widths; None where there is one model, or one pattern each."""

    accuracy: float
    majority_baseline: float
    margin: float
    ensemble_half_width: float | None
    augmentation_half_width: float | None
    half_width: float | None
    """Both in quadrature."""
    per_class: dict[str, float]


@dataclass(frozen=True)
class Regression:
    """Errors of one lattice parameter over structures, with the standard deviations of eqs. 11-13."""

    mae: float
    mae_sigma: float
    mape_percent: float
    mape_sigma: float
    r2: float
    r2_sigma: float
    mean_baseline_mae: float


def t_975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, from its distribution function by bisection.

    With F from the regularised incomplete beta function, here by quadrature: F(t) = 1/2 + integral of the density.
    """
    x, w = np.polynomial.legendre.leggauss(200)
    log_norm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)

    def probability(t: float) -> float:
        # t = sqrt(freedom) tan(u) makes the integrand cos(u)^(freedom - 1), smooth and bounded.
        end = math.atan(t / math.sqrt(freedom))
        u = 0.5 * end * (x + 1)
        return 0.5 + 0.5 * end * float((w * np.cos(u) ** (freedom - 1)).sum()) * math.sqrt(freedom) * math.exp(log_norm)

    low, high = 1.9, 13.0  # the normal quantile lies above one, t of one degree of freedom below the other
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < 0.975 else (low, middle)
    return (low + high) / 2


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, NaN as None: what JSON can hold."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic | torch.Tensor):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
