"""Scans on the axis ln q, on which another wavelength changes nothing and another size of the crystal is a shift.

The background is removed by SNIP (Ryan et al., Nucl. Instrum. Methods B 34, 396) on the square root of the intensity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.errors import DatagenError
from trainer.scans.bring import covered
from trainer.simulate.axis import CU_KALPHA1_A, FEWEST_BINS, LN_Q_MIN, N_BINS, Q_MAX, Q_MIN
from trainer.simulate.axis import LN_Q_STEP as STEP

Array = NDArray[np.float64]

POWER = 0.375
"""Patterns are compared by intensity to this power, between a square root and a logarithm: weak lines count."""
NOISE = 1.5
"""Standard deviations of noise that are cut off above the median."""

_GRID_MIN_DEG, _GRID_STEP_DEG, _GRID_POINTS = 3.0, 0.025, 3881
_SNIP_WINDOW_DEG = 1.5
_COUNTS_AT_MAXIMUM = 3000.0
"""Scale at which SNIP takes its square root."""


@dataclass(frozen=True, eq=False)
class Observed:
    """A scan without background in bins of ln q."""

    intensity: Array
    """Relative to the maximum; 0 where nothing was measured."""
    measured: NDArray[np.bool_]
    wavelength_A: float

    @property
    def covered(self) -> float:
        """Share of the axis that was measured."""
        return float(self.measured.mean())

    def compared(self) -> Array:
        """Return what is compared with patterns of structures: smoothed, cut at the noise, to the power POWER."""
        smooth = np.convolve(self.intensity, [0.25, 0.5, 0.25], "same")
        inside = smooth[self.measured]
        median = float(np.median(inside))
        deviation = 1.4826 * float(np.median(np.abs(inside - median)))
        cut = np.where(self.measured, smooth - median - NOISE * deviation, 0.0).clip(min=0)
        highest = float(cut.max())
        return (cut / highest) ** POWER if highest > 0 else cut


def bin_of(ln_q: Array) -> Array:
    """Return positions in bins; bin i has its centre at i."""
    return (ln_q - LN_Q_MIN) / STEP - 0.5


def observe(two_theta_deg: Array, intensity: Array, wavelength_A: float) -> Observed:
    """Bring a scan to the axis; raises DatagenError where it covers too little of it."""
    order = np.argsort(two_theta_deg, kind="stable")
    sine = np.sin(np.radians(np.asarray(two_theta_deg, dtype=np.float64)[order] / 2)) * CU_KALPHA1_A / wavelength_A
    values = np.asarray(intensity, dtype=np.float64)[order]
    usable = np.isfinite(values) & (sine > 0) & (sine < 0.9999)
    angle, values = 2 * np.degrees(np.arcsin(sine[usable])), values[usable]
    found = _on_grid(angle, values)
    if found is not None:
        on_bins, measured = _to_bins(*found)
        if int(measured.sum()) >= FEWEST_BINS and float(on_bins.max()) > 0:
            return Observed(on_bins / on_bins.max(), measured, wavelength_A)
    low, high = (float(np.min(two_theta_deg)), float(np.max(two_theta_deg))) if len(two_theta_deg) else (0.0, 0.0)
    raise DatagenError(
        f"a scan from {low:g} to {high:g} degrees at {wavelength_A:g} A covers too little of the range d = "
        f"{2 * math.pi / Q_MAX:.2f} to {2 * math.pi / Q_MIN:.1f} A, or has no intensity there; check the wavelength"
    )


def _on_grid(angle_deg: Array, values: Array) -> tuple[Array, NDArray[np.bool_]] | None:
    """Return intensities on a grid of Cu K-alpha1 angles, averaged or interpolated, without background."""
    nearest = np.round((angle_deg - _GRID_MIN_DEG) / _GRID_STEP_DEG).astype(np.int64)
    inside = (nearest >= 0) & (nearest < _GRID_POINTS)
    if np.count_nonzero(inside) < 20:
        return None
    counts = np.bincount(nearest[inside], minlength=_GRID_POINTS)
    sums = np.bincount(nearest[inside], values[inside], minlength=_GRID_POINTS)
    grid: Array = _GRID_MIN_DEG + _GRID_STEP_DEG * np.arange(_GRID_POINTS, dtype=np.float64)
    on_grid = np.where(counts > 0, sums / np.maximum(counts, 1), np.interp(grid, angle_deg, values)).clip(min=0)
    measured = covered(grid, angle_deg)
    highest = float(on_grid[measured].max(initial=0.0))
    if highest <= 0:
        return None
    without = np.zeros(_GRID_POINTS)
    for first, last in _stretches(measured):
        without[first:last] = _without_background(on_grid[first:last] * (_COUNTS_AT_MAXIMUM / highest))
    return without, measured


def _stretches(measured: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ranges first:last that were measured without a gap."""
    ends = np.flatnonzero(np.diff(measured.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(last)) for first, last in ends.reshape(-1, 2)]


def _without_background(counts: Array) -> Array:
    """Subtract what SNIP finds, with windows that shrink."""
    window = np.ones(5)
    smooth = np.convolve(counts, window, "same") / np.convolve(np.ones_like(counts), window, "same")
    background = np.sqrt(smooth + 1.0)
    width = min(round(_SNIP_WINDOW_DEG / _GRID_STEP_DEG), (len(counts) - 1) // 2)
    while width > 0:
        mean = 0.5 * (background[: -2 * width] + background[2 * width :])
        background[width:-width] = np.minimum(background[width:-width], mean)
        width = width - 1 if width < 5 else int(width * 0.82)
    return counts - (background**2 - 1.0)


def _to_bins(on_grid: Array, measured: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Average over the bins of ln q; bins narrower than a grid step are interpolated."""
    edges = np.exp(LN_Q_MIN + STEP * np.arange(N_BINS + 1))
    angle = np.degrees(2 * np.arcsin((edges * CU_KALPHA1_A / (4 * np.pi)).clip(0, 1)))
    at = (angle - _GRID_MIN_DEG) / _GRID_STEP_DEG + 0.5
    low, high = at[:-1], at[1:]
    positions = np.arange(_GRID_POINTS + 1, dtype=np.float64)
    total = np.concatenate([[0.0], np.cumsum(on_grid)])
    covered = np.concatenate([[0.0], np.cumsum(measured)])
    width = high - low
    average = (np.interp(high, positions, total) - np.interp(low, positions, total)) / width
    between = np.interp(0.5 * (low + high) - 0.5, np.arange(_GRID_POINTS), on_grid)
    complete = (np.interp(high, positions, covered) - np.interp(low, positions, covered)) / width > 0.999
    return np.where(complete, np.where(width < 1.0, between, average), 0.0).clip(min=0), complete
