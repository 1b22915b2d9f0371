"""How good are AlphaDiffract's predictions? Accuracies, lattice errors, and the paper's uncertainties of both.

Arrays: one row a sample; ``structure`` says which structure a sample is a pattern of. Equations of Sec. 5.6.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.training.gemd import hop_matrix

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

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


def accuracy(
    probability: Array,
    truth: Whole,
    structure: Whole,
    majority: int,
    names: dict[int, str],
) -> Accuracy:
    """Accuracy of the ensemble mean of ``probability`` (model, sample, class).

    ``majority`` is the commonest class of the training side; eq. 7 takes the spread over models of the probability of
    the predicted class.
    """
    mean = probability.mean(axis=0)
    predicted = mean.argmax(axis=1)
    correct = predicted == truth
    value = float(correct.mean())
    of_models = None
    if len(probability) > 1:
        spread = probability[:, np.arange(len(truth)), predicted].std(axis=0, ddof=1)
        of_models = Z_975 * float(np.sqrt((spread**2).sum()) / len(truth))  # eq. 7
    of_augmentations = None
    fractions = per_structure(correct.astype(np.float64), structure)  # eq. 8
    if len(fractions) > 1 and len(fractions) < len(truth):
        n = len(fractions)
        of_augmentations = t_975(n - 1) * float(fractions.std(ddof=1) / math.sqrt(n))  # eq. 9
    parts = [x for x in (of_models, of_augmentations) if x is not None]
    baseline = float((truth == majority).mean())
    return Accuracy(
        accuracy=value,
        majority_baseline=baseline,
        margin=value - baseline,
        ensemble_half_width=of_models,
        augmentation_half_width=of_augmentations,
        half_width=math.hypot(*parts) if parts else None,
        per_class={names[c]: float(correct[truth == c].mean()) for c in sorted(names) if (truth == c).any()},
    )


def regression(prediction: Array, truth: Array, structure: Whole, train_mean: float) -> Regression:
    """Errors of ``prediction`` (model, sample) of one parameter, averaged over models and each structure's patterns."""
    mean = prediction.mean(axis=0)
    y = per_structure(truth, structure)
    y_hat = per_structure(mean, structure)
    n = len(y)
    of_models = prediction.var(axis=0, ddof=1) if len(prediction) > 1 else np.zeros_like(mean)
    counts = per_structure(np.ones_like(mean), structure, total=True)
    of_augmentations = per_structure((mean - y_hat[_index(structure)]) ** 2, structure, total=True)
    of_augmentations = of_augmentations / np.maximum(counts - 1, 1)
    sigma = np.sqrt(per_structure(of_models, structure) + of_augmentations)  # eq. 10
    residual = y_hat - y
    total = float(((y - y.mean()) ** 2).sum())
    # A test side on which a parameter never varies has no R^2.
    r2 = 1.0 - float((residual**2).sum()) / total if total > 0 else math.nan
    r2_sigma = float(np.sqrt(((2 * residual / total * sigma) ** 2).sum())) if total > 0 else math.nan
    return Regression(
        mae=float(np.abs(residual).mean()),
        mae_sigma=float(np.sqrt((sigma**2).sum())) / n,  # eq. 11
        mape_percent=100.0 * float((np.abs(residual) / y).mean()),
        mape_sigma=100.0 / n * float(np.sqrt(((sigma / y) ** 2).sum())),  # eq. 12
        r2=r2,
        r2_sigma=r2_sigma,  # eq. 13
        mean_baseline_mae=float(np.abs(y - train_mean).mean()),
    )


def graph_distances(predicted: Whole, truth: Whole) -> dict[str, list[float]]:
    """Share of samples at each number of steps between predicted and true space group, and up to it."""
    distance = hop_matrix()[predicted, truth]
    share = np.bincount(distance, minlength=int(hop_matrix().max()) + 1) / len(distance)
    return {"share": share.tolist(), "cumulative": share.cumsum().tolist()}


def per_structure(values: Array, structure: Whole, *, total: bool = False) -> Array:
    """The mean (or sum) over each structure's samples, in ascending order of structure."""
    index = _index(structure)
    sums = np.bincount(index, weights=values)
    return np.asarray(sums if total else sums / np.bincount(index), dtype=np.float64)


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


def _index(structure: Whole) -> Whole:
    return np.unique(structure, return_inverse=True)[1]
