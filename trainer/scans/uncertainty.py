"""Standard uncertainties of intensities: by counting statistics, or from the scatter of neighbouring points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEDIAN_CHI2 = 0.4549
"""Median of chi squared with one degree of freedom: makes medians of squares estimates of a variance."""
TRIMMED_CHI2 = 0.624
"""Mean of the smaller nine tenths of it."""
SECOND_DIFFERENCE = 1.5
"""Variance of y[i] - (y[i-1] + y[i+1]) / 2 over that of y."""
LEVELS = 20
"""Groups of points of similar intensity, each with a noise level of its own."""
SMOOTHING = 7


def counting(intensity: Array) -> Array:
    """Return the standard uncertainty of counts, at least 1."""
    return np.asarray(np.sqrt(np.maximum(intensity, 1.0)), dtype=np.float64)


def from_scatter(intensity: Array) -> Array:
    """Estimate uncertainties from the scatter of neighbours: a variance constant + gain * intensity.

    Peaks bend the pattern, which looks like scatter: the medians over groups of similar intensity ignore most of it.
    """
    level, variance = _levels(intensity)
    constant, gain = _line(level, variance)
    found = np.sqrt(np.maximum(constant + gain * np.maximum(_smoothed(intensity), 0.0), 0.0))
    return np.asarray(found, dtype=np.float64)


def noise_gain(intensity: Array) -> float:
    """Estimate the variance of the noise over the intensity; 1 for counts."""
    if len(intensity) < 2 * LEVELS:
        return float("nan")
    level, variance = _levels(intensity)
    usable = level > 0
    return float(np.median(variance[usable] / level[usable])) if usable.any() else float("nan")


def _levels(intensity: Array) -> tuple[Array, Array]:
    """Return the mean intensity and the variance of the noise in groups of points of similar intensity."""
    difference = intensity[1:-1] - 0.5 * (intensity[:-2] + intensity[2:])
    square = difference**2 / SECOND_DIFFERENCE
    near = _smoothed(intensity)[1:-1]
    groups = np.array_split(np.argsort(near, kind="stable"), min(LEVELS, len(near)))
    level = np.array([near[group].mean() for group in groups])
    # Counts near zero take few values, whose median square is 0 or too coarse: the mean, without the largest tenth.
    variance = np.array([_robust(np.sort(square[group])) for group in groups])
    return level, variance


def _robust(ordered: Array) -> float:
    """Return a variance from squares in order of size: the larger of median and trimmed mean, each without bias."""
    kept = ordered[: max(1, int(0.9 * len(ordered)))]
    return float(max(np.median(ordered) / MEDIAN_CHI2, kept.mean() / TRIMMED_CHI2)) if len(ordered) else 0.0


def _line(level: Array, variance: Array) -> tuple[float, float]:
    """Fit variance = constant + gain * level, neither negative, each group weighted by its own variance."""
    weight = 1.0 / (variance + 1e-3 * max(float(variance.max()), 1e-300))
    x, ones = np.maximum(level, 0.0), np.ones_like(level)
    solution = np.linalg.lstsq(np.stack([ones, x], axis=1) * weight[:, None], variance * weight, rcond=None)[0]
    constant, gain = float(solution[0]), float(solution[1])
    if constant < 0:
        return 0.0, float(np.sum(weight**2 * x * variance) / max(float(np.sum((weight * x) ** 2)), 1e-300))
    if gain < 0:
        return float(np.average(variance, weights=weight**2)), 0.0
    return constant, gain


def _smoothed(intensity: Array) -> Array:
    kernel = np.ones(min(SMOOTHING, len(intensity)))
    return np.asarray(np.convolve(intensity, kernel, "same") / np.convolve(np.ones_like(intensity), kernel, "same"))
