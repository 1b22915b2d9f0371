"""Quantisation of patterns to 16 bits, relative to each pattern's maximum."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from datagen.store.schema import PATTERN_STEP


def quantise(intensity: NDArray[Any]) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return stored numbers and maximum of each pattern (a row): intensity = stored * PATTERN_STEP * maximum.

    The error is at most half a step, 2^-14 of the maximum. Raise ValueError for a pattern that is not finite, has
    negative values or is all zero.
    """
    rows = np.atleast_2d(intensity)
    stored = np.empty(rows.shape, dtype=np.uint16)
    maxima = np.empty(rows.shape[0])
    bad = int(_quantise(np.ascontiguousarray(rows), stored, maxima, 1.0 / PATTERN_STEP))
    if bad >= 0:
        row = rows[bad]
        raise ValueError(
            f"pattern {bad} cannot be stored: intensities run from {np.min(row)} to {np.max(row)}; "
            "expected finite values, none negative, not all zero"
        )
    return stored, maxima


def dequantise(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the intensity relative to the pattern's maximum."""
    return stored.astype(np.float32) * np.float32(PATTERN_STEP)


@numba.njit(cache=True)
def _quantise(rows, stored, maxima, levels):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fill the outputs; return the first row that is not a pattern, or -1."""
    for i in range(rows.shape[0]):
        lowest = 0.0
        highest = 0.0
        total = 0.0
        for j in range(rows.shape[1]):
            value = float(rows[i, j])
            lowest = min(lowest, value)
            highest = max(highest, value)
            total += value
        if lowest < 0.0 or highest <= 0.0 or not np.isfinite(total):
            return i
        maxima[i] = highest
        factor = levels / highest
        for j in range(rows.shape[1]):
            stored[i, j] = np.uint16(float(rows[i, j]) * factor + 0.5)
    return -1
