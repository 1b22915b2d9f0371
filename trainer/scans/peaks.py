"""Peaks of a scan without background on the axis ln q."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.simulate.axis import LN_Q_MIN, LN_Q_STEP, N_BINS

Array = NDArray[np.float64]

MOST_PEAKS = 25
LOWEST = 0.008
"""Of a peak, relative to the highest point of the scan."""
DEVIATIONS = 4.0
"""Of a peak above the median near it."""
NEAR = 100
"""Bins on either side of which a stretch of as many bins takes its median."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """The highest peaks of a scan in ascending q."""

    ln_q: Array
    weight: Array
    """The fourth root of the height, 1 on average: high peaks are placed better, and rarely of another phase."""

    def __len__(self) -> int:
        return len(self.ln_q)


def find_peaks(intensity: Array, measured: NDArray[np.bool_], most: int = MOST_PEAKS) -> Peaks:
    """Return the `most` highest peaks of intensities in the bins of ln q, relative to their maximum."""
    smooth = np.convolve(intensity, [0.25, 0.5, 0.25], "same")
    inside = np.flatnonzero(measured)
    if not len(inside):
        return Peaks(np.zeros(0), np.zeros(0))
    first, last = int(inside[0]), int(inside[-1]) + 1
    threshold = np.full(N_BINS, np.inf)
    for start in range(first, last, NEAR):
        near = slice(max(first, start - NEAR), min(last, start + 2 * NEAR))
        window = smooth[near][measured[near]]
        if not len(window):
            continue
        median = float(np.median(window))
        deviation = 1.4826 * float(np.median(np.abs(window - median)))
        threshold[start : start + NEAR] = max(median + DEVIATIONS * deviation, LOWEST)
    highest_near = np.lib.stride_tricks.sliding_window_view(np.pad(smooth, 3), 7).max(axis=1)
    at = np.flatnonzero((smooth >= highest_near) & (smooth > threshold) & measured)
    at = at[(at > 0) & (at < N_BINS - 1)]
    at = np.sort(at[np.argsort(-smooth[at], kind="stable")[:most]])
    if not len(at):
        return Peaks(np.zeros(0), np.zeros(0))
    left, middle, right = smooth[at - 1], smooth[at], smooth[at + 1]
    curvature = left - 2 * middle + right
    offset = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, 1.0), 0.0)
    weight = middle**0.25
    return Peaks(LN_Q_MIN + (at + 0.5 + offset.clip(-0.5, 0.5)) * LN_Q_STEP, weight / weight.mean())
