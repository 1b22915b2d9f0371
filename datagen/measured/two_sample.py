"""How well a small classifier tells simulated patterns from measured ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LAGS = (1, 2, 4, 8, 16, 32, 64)
"""Points by which a pattern is shifted against itself; the correlations show widths and noise."""
THIRDS = 3
FOLDS = 5
RIDGE = 1.0
STEPS = 30
"""Of Newton's method."""


def features(pattern: Array) -> Array:
    """Return what a pattern, relative to its maximum, looks like: correlations in each third, and its distribution."""
    found: list[float] = []
    for part in np.array_split(pattern, THIRDS):
        centred = part - part.mean()
        power = float(centred @ centred) + 1e-12
        found += [float(centred[lag:] @ centred[:-lag]) / power for lag in LAGS]
        second = np.diff(part, 2)
        found += [np.log(part.mean() + 1e-6), np.log(float(np.median(np.abs(second))) + 1e-6)]
        found.append(np.log(float(part.max()) + 1e-4))
    ordered = np.sort(pattern)[::-1]
    found += [np.log(float(ordered[int(share * len(ordered))]) + 1e-6) for share in (0.002, 0.01, 0.05, 0.2, 0.5)]
    return np.array(found)


def auc(measured: Sequence[Array], simulated: Sequence[Array], groups: Sequence[str]) -> float:
    """Return the area under the curve of a ridge-penalised logistic regression, cross-validated by groups.

    `groups` names the structure of each pair. 0.5: not told apart; 1: always.
    """
    x = np.stack([features(p) for p in (*measured, *simulated)])
    y = np.repeat([1.0, 0.0], [len(measured), len(simulated)])
    names = sorted(set(groups))
    folds = {name: number % FOLDS for number, name in enumerate(_shuffled(names))}
    fold = np.array([folds[name] for name in (*groups, *groups)])
    score = np.zeros(len(y))
    for number in range(FOLDS):
        test = fold == number
        if test.any() and not test.all():
            score[test] = _scores(x[~test], y[~test], x[test])
    return _area(score, y)


def _shuffled(names: Sequence[str]) -> list[str]:
    order = np.random.default_rng(0).permutation(len(names))
    return [names[i] for i in order]


def _scores(x: Array, y: Array, at: Array) -> Array:
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-9
    x, at = (np.concatenate([(v - mean) / deviation, np.ones((len(v), 1))], axis=1) for v in (x, at))
    weights = np.zeros(x.shape[1])
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[-1, -1] = 1e-6
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(curvature, x.T @ (y - p) - penalty @ weights)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    return np.asarray(at @ weights)


def _area(score: Array, y: Array) -> float:
    """Return the chance that a measured pattern scores higher than a simulated one; ties count half."""
    higher, lower = score[y == 1], score[y == 0]
    difference = higher[:, None] - lower[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
