"""Running sums of an evaluation, whose memory does not grow with the number of patterns.

Samples arrive in batches, those of a structure consecutively. Equations of Sec. 5.6 of the AlphaDiffract paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.metrics import Z_975, Accuracy, Regression, t_975
from trainer.training.gemd import hop_matrix

Array = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass
class Moments:
    """Mean and sum of squared deviations of columns, merged by Chan's formula: equal values deviate by exactly 0."""

    count: int
    mean: Array
    squares: Array

    @classmethod
    def of(cls, values: Array) -> Moments:
        """Return the moments of values (n, columns)."""
        mean = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
        return cls(len(values), mean, ((values - mean) ** 2).sum(axis=0))

    def merge(self, other: Moments) -> None:
        """Add the values behind other moments."""
        if other.count == 0:
            return
        total = self.count + other.count
        step = other.mean - self.mean
        self.squares = self.squares + other.squares + step**2 * (self.count * other.count / total)
        self.mean = self.mean + step * (other.count / total)
        self.count = total


@dataclass(frozen=True)
class Structures:
    """Structures whose samples are complete: count, means and sums of squared deviations of columns."""

    count: Whole
    mean: Array
    squares: Array


class ByStructure:
    """Groups a stream of samples by structure, holding only the moments of the incomplete one."""

    def __init__(self) -> None:
        self._open: tuple[int, Moments] | None = None

    def add(self, structure: Whole, values: Array) -> Structures:
        """Add samples (n, columns); return the structures that they complete."""
        starts = np.concatenate([[0], np.flatnonzero(np.diff(structure)) + 1])
        groups = [
            (int(ids[0]), Moments.of(part))
            for ids, part in zip(np.split(structure, starts[1:]), np.split(values, starts[1:]), strict=True)
        ]
        if self._open is not None:
            if self._open[0] == groups[0][0]:
                self._open[1].merge(groups[0][1])
                groups[0] = self._open
            else:
                groups.insert(0, self._open)
        self._open = groups.pop()
        return _stacked([moments for _, moments in groups], values.shape[1])

    def finish(self, columns: int) -> Structures:
        """Return the last structure."""
        found = [] if self._open is None else [self._open[1]]
        self._open = None
        return _stacked(found, columns)


class AccuracySums:
    """Accuracy of one classification; `top` counts the truth among that many most probable classes."""

    def __init__(self, classes: int, top: int = 5) -> None:
        self.samples = 0
        self.top = top
        self.in_top = 0
        self.of_class = np.zeros(classes, dtype=np.int64)
        self.correct_of_class = np.zeros(classes, dtype=np.int64)
        self.correct_of_model: Whole | None = None
        self.variance_of_models: float | None = None
        self.fractions = Moments.of(np.zeros((0, 1)))

    def add(self, probability: Array, truth: Whole) -> tuple[Whole, NDArray[np.bool_]]:
        """Take probabilities (model, sample, class); return the predicted classes and whether each is right."""
        mean = probability.mean(axis=0)
        predicted = mean.argmax(axis=1)
        correct = predicted == truth
        self.samples += len(truth)
        self.in_top += int((np.argsort(-mean, axis=1)[:, : self.top] == truth[:, None]).any(axis=1).sum())
        self.of_class += np.bincount(truth, minlength=len(self.of_class))
        self.correct_of_class += np.bincount(truth[correct], minlength=len(self.of_class))
        if len(probability) > 1:
            alone = (probability.argmax(axis=2) == truth).sum(axis=1)
            self.correct_of_model = alone if self.correct_of_model is None else self.correct_of_model + alone
            chosen = probability[:, np.arange(len(truth)), predicted]
            self.variance_of_models = (self.variance_of_models or 0.0) + float(chosen.var(axis=0, ddof=1).sum())
        return predicted, correct

    def add_structures(self, fractions: Array) -> None:
        """Take the fraction of correct samples of structures (eq. 8)."""
        self.fractions.merge(Moments.of(fractions[:, None]))

    def result(self, majority: int, names: dict[int, str]) -> Accuracy:
        """Return accuracy, baseline and half-widths; `majority` is the commonest class of the training split."""
        accuracy = float(self.correct_of_class.sum() / self.samples)
        baseline = float(self.of_class[majority] / self.samples)
        of_models = None
        if self.variance_of_models is not None:  # eq. 7: of the probability of the predicted class
            of_models = Z_975 * math.sqrt(self.variance_of_models) / self.samples
        of_augmentations = None
        n = self.fractions.count
        if 1 < n < self.samples:  # eq. 9
            deviation = math.sqrt(float(self.fractions.squares[0]) / (n - 1))
            of_augmentations = t_975(n - 1) * deviation / math.sqrt(n)
        parts = [x for x in (of_models, of_augmentations) if x is not None]
        return Accuracy(
            accuracy=accuracy,
            majority_baseline=baseline,
            margin=accuracy - baseline,
            ensemble_half_width=of_models,
            augmentation_half_width=of_augmentations,
            half_width=math.hypot(*parts) if parts else None,
            per_class={
                names[c]: float(self.correct_of_class[c] / self.of_class[c]) for c in sorted(names) if self.of_class[c]
            },
            single_models=(
                () if self.correct_of_model is None else tuple((self.correct_of_model / self.samples).tolist())
            ),
        )


class RegressionSums:
    """Errors of lattice parameters (columns) over structures."""

    def __init__(self, train_mean: Array) -> None:
        self.train_mean = train_mean
        zero = np.zeros(len(train_mean))
        self.error, self.relative, self.variance, self.relative_variance = zero, zero, zero, zero
        self.squared, self.weighted, self.baseline = zero, zero, zero
        self.truth = Moments.of(np.zeros((0, len(train_mean))))

    def add_structures(self, truth: Array, predicted: Array, variance: Array) -> None:
        """Take truths, predictions and their variances (eq. 10), each (structure, parameter)."""
        residual = predicted - truth
        self.error = self.error + np.abs(residual).sum(axis=0)
        self.relative = self.relative + (np.abs(residual) / truth).sum(axis=0)
        self.variance = self.variance + variance.sum(axis=0)
        self.relative_variance = self.relative_variance + (variance / truth**2).sum(axis=0)
        self.squared = self.squared + (residual**2).sum(axis=0)
        self.weighted = self.weighted + (residual**2 * variance).sum(axis=0)
        self.baseline = self.baseline + np.abs(truth - self.train_mean).sum(axis=0)
        self.truth.merge(Moments.of(truth))

    def result(self, k: int) -> Regression:
        """Return the errors of parameter k."""
        n = self.truth.count
        total = float(self.truth.squares[k])
        # A parameter that never varies in the split has no R^2.
        r2 = 1.0 - float(self.squared[k]) / total if total > 0 else math.nan
        r2_sigma = 2.0 * math.sqrt(float(self.weighted[k])) / total if total > 0 else math.nan
        return Regression(
            mae=float(self.error[k]) / n,
            mae_sigma=math.sqrt(float(self.variance[k])) / n,  # eq. 11
            mape_percent=100.0 * float(self.relative[k]) / n,
            mape_sigma=100.0 * math.sqrt(float(self.relative_variance[k])) / n,  # eq. 12
            r2=r2,
            r2_sigma=r2_sigma,  # eq. 13
            mean_baseline_mae=float(self.baseline[k]) / n,
        )


class GraphDistanceSums:
    """Steps between predicted and true space groups in the graph of maximal subgroups."""

    def __init__(self) -> None:
        self.counts = np.zeros(int(hop_matrix().max()) + 1, dtype=np.int64)

    def add(self, predicted: Whole, truth: Whole) -> None:
        """Take space groups from 0."""
        self.counts += np.bincount(hop_matrix()[predicted, truth], minlength=len(self.counts))

    def result(self) -> dict[str, list[float]]:
        """Return the share of samples at each number of steps, and up to it."""
        share = self.counts / self.counts.sum()
        return {"share": share.tolist(), "cumulative": share.cumsum().tolist()}


def _stacked(groups: list[Moments], columns: int) -> Structures:
    empty = np.zeros((0, columns))
    return Structures(
        np.array([group.count for group in groups], dtype=np.int64),
        np.stack([group.mean for group in groups]) if groups else empty,
        np.stack([group.squares for group in groups]) if groups else empty,
    )
