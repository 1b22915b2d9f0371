"""Quantisation of patterns to 16 bits, relative to each pattern's maximum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from datagen.store.schema import PATTERN_STEP


def quantise(intensity: NDArray[Any]) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return stored numbers and maximum of each pattern (a row): intensity = stored * PATTERN_STEP * maximum.

    The error is at most half a step, 2^-14 of the maximum. Raise ValueError for a pattern that is not finite, has
    negative values or is all zero.
    """
    rows = np.ascontiguousarray(np.atleast_2d(intensity))
    if rows.dtype not in _BITS:
        rows = rows.astype(np.float64)
    stored = np.empty(rows.shape, dtype=np.uint16)
    maxima = np.empty(rows.shape[0])
    bits = rows.view(_BITS[rows.dtype])
    infinity = int(np.array(np.inf, dtype=rows.dtype).view(bits.dtype))
    bad = int(_quantise(rows, bits, infinity, stored, maxima, 1.0 / PATTERN_STEP))
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


_BITS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.int32),
    np.dtype(np.float64): np.dtype(np.int64),
}
"""Bits as whole numbers: those of positive reals ascend as the reals do, up to infinity and then not-a-number, and
those of negative reals are negative. Comparing whole numbers needs no care for not-a-number, so it runs in vectors."""


@compiled
def _quantise(
    rows: NDArray[Any],
    bits: NDArray[Any],
    infinity: int,
    stored: NDArray[np.uint16],
    maxima: NDArray[np.float64],
    levels: float,
) -> int:
    """Fill the outputs; return the first row that is not a pattern, or -1."""
    for i in range(rows.shape[0]):
        row = rows[i]
        lowest, highest = _extremes(bits[i])
        if highest <= 0 or highest >= infinity or (lowest < 0 and _any_below_zero(row)):
            return i
        maxima[i] = _largest(row, bits[i], highest)
        _scale(row, levels / maxima[i], stored[i])
    return -1


@compiled
def _extremes(bits: NDArray[Any]) -> tuple[int, int]:
    lowest = highest = bits[0]
    for j in range(bits.size):
        lowest = min(lowest, bits[j])
        highest = max(highest, bits[j])
    return lowest, highest


@compiled
def _any_below_zero(row: NDArray[Any]) -> bool:
    """Return whether a value is negative or not a number; the bits of minus zero are negative, too."""
    for j in range(row.size):  # noqa: SIM110 - compiled code has no any()
        if not row[j] >= 0.0:
            return True
    return False


@compiled
def _largest(row: NDArray[Any], bits: NDArray[Any], highest: int) -> float:
    for j in range(row.size):
        if bits[j] == highest:
            return float(row[j])
    return 0.0


@compiled
def _scale(row: NDArray[Any], factor: float, stored: NDArray[np.uint16]) -> None:
    for j in range(row.size):
        stored[j] = np.uint16(np.int32(float(row[j]) * factor + 0.5))
