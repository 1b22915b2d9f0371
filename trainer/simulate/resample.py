"""Patterns at other angles: Bragg's law between wavelengths, and averages over the steps of a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST_GAP_DEG = 0.1
"""Distance of neighbouring points up to which the angles between them count as measured."""
GAP_STEPS = 2.5
"""The same in steps of a coarse scan."""


def bragg(two_theta_deg: Array, wavelength_A: float, to_wavelength_A: float) -> Array:
    """Return the angles at another wavelength, by sin(theta') = sin(theta) lambda' / lambda; NaN beyond its reach."""
    sine = np.sin(np.radians(np.asarray(two_theta_deg, dtype=np.float64) / 2)) * to_wavelength_A / wavelength_A
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * np.degrees(np.arcsin(np.where(np.abs(sine) < 1, sine, np.nan))))


def average_onto(grid_deg: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the average over each step of a grid of the straight lines through (x, y), and the points in each step.

    Where the pattern is finer than the grid, every point counts; where it is coarser, this is interpolation. Angles
    rise; beyond the ends of ``x`` its last value holds.
    """
    middle = 0.5 * (grid_deg[1:] + grid_deg[:-1])
    edges = np.concatenate([[2 * grid_deg[0] - middle[0]], middle, [2 * grid_deg[-1] - middle[-1]]]).clip(x[0], x[-1])
    steps = np.maximum(np.diff(x), 1e-300)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (y[1:] + y[:-1]) * steps)])
    at = (np.searchsorted(x, edges, side="right") - 1).clip(0, len(x) - 2)
    part = edges - x[at]
    area = total[at] + part * (y[at] + 0.5 * part * (y[at + 1] - y[at]) / steps[at])
    width = np.diff(edges)
    # The difference of two running sums is exact to their rounding only.
    narrow = width < 1e-9 * max(1.0, float(np.abs(x).max()))
    mean = np.where(narrow, np.interp(grid_deg, x, y), np.diff(area) / np.where(narrow, 1.0, width))
    return mean, np.diff(np.interp(edges, x, np.arange(len(x))))


def covered(grid_deg: Array, x: Array, largest_gap_deg: float = LARGEST_GAP_DEG) -> NDArray[np.bool_]:
    """Return which angles of a grid rising points measure: within half a step of the ends, and not in a gap."""
    steps = np.diff(x)
    half = 0.5 * float(np.median(steps))
    allowed = max(largest_gap_deg, GAP_STEPS * 2 * half)
    after = np.searchsorted(x, grid_deg).clip(1, len(x) - 1)
    inside = (grid_deg >= x[0] - half) & (grid_deg <= x[-1] + half) & (steps[after - 1] <= allowed)
    return np.asarray(inside, dtype=np.bool_)
