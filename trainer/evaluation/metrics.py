"""Results of AlphaDiffract's evaluation: accuracies, lattice errors and their uncertainties.

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
    """Fraction of correct samples with 95 % half-widths, which are None for one model or one pattern per structure."""

    accuracy: float
    majority_baseline: float
    margin: float
    ensemble_half_width: float | None
    augmentation_half_width: float | None
    half_width: float | None
    """Both added in quadrature."""
    per_class: dict[str, float]
    single_models: tuple[float, ...] = ()
    """Accuracy of each model of an ensemble by itself."""


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
    """Return the 97.5 % quantile of Student's t, by bisection of its distribution function.

    The distribution function is 1/2 plus the integral of the density, by Gauss-Legendre quadrature.
    """
    x, w = np.polynomial.legendre.leggauss(200)
    log_norm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)

    def probability(t: float) -> float:
        # With t = sqrt(freedom) tan(u) the integrand is cos(u)^(freedom - 1).
        end = math.atan(t / math.sqrt(freedom))
        u = 0.5 * end * (x + 1)
        return 0.5 + 0.5 * end * float((w * np.cos(u) ** (freedom - 1)).sum()) * math.sqrt(freedom) * math.exp(log_norm)

    low, high = 1.9, 13.0  # bounds: the normal distribution and one degree of freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < 0.975 else (low, middle)
    return (low + high) / 2


def plain(value: Any) -> Any:
    """Convert to values of JSON: dataclasses to dictionaries, NaN to None."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic | torch.Tensor):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
