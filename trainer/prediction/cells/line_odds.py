"""Log odds that the peaks of a scan are lines of a cell, and cells by least squares.

A peak of the right cell lies near one of its lines, with the probability ON_LINE, and else anywhere. A cell with many
lines near a peak has one at its place by luck: it gains the less the more they are. Peaks are moved by a zero shift.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trainer.scans.peaks import Peaks
from trainer.simulate.axis import CU_KALPHA1_A

Array = NDArray[np.float64]

ON_LINE = 0.93
"""Probability that a peak of the right cell is on one of its lines, and not noise or of another phase."""
WINDOW = 0.12
"""Of ln q around a peak, in which a cell's lines are counted."""
DEVIATION = 0.0013
"""Standard deviation of a peak's ln q: about a bin."""
ZERO_DEVIATION_RAD, LARGEST_ZERO_RAD = 0.0008, 0.003
"""Of a zero shift in 2theta."""
ZEROS_RAD: Array = np.linspace(-0.0016, 0.0016, 9)
LN_2PI = math.log(2 * math.pi)
_BEYOND = 99.0
"""ln q of a line that a cell does not have."""
_REACHES = (4.0, 3.0, 3.0, 2.5)
"""Deviations within which a peak counts as on a line, in the steps of least squares."""


def places_of(terms: Array, cells: Array) -> Array:
    """Return ln q of each line (cell, line)."""
    squares = cells @ terms.T
    return np.where(squares > 0, 0.5 * np.log(np.where(squares > 0, squares, 1.0)) + LN_2PI, _BEYOND)


def line_odds(
    terms: Array, cells: Array, peaks: Peaks, zeros_rad: Array, deviation: float = DEVIATION
) -> tuple[Array, Array]:
    """Return the highest log odds of each cell (cell,) over some zero shifts, and the zero shifts at it.

    `terms` (line, number) times a cell's free numbers (cell, number) are the squares of 1/d of its lines.
    """
    lines = places_of(terms, cells)
    slope = zero_slope(peaks.ln_q)
    best, at = np.full(len(cells), -np.inf), np.zeros(len(cells))
    for zero in zeros_rad.tolist():
        odds = _odds(lines, peaks.ln_q - zero * slope, peaks.weight, deviation) - 0.5 * (zero / ZERO_DEVIATION_RAD) ** 2
        better = odds > best
        best[better], at[better] = odds[better], zero
    return best, at


def fitted(terms: Array, cell: Array, peaks: Peaks, deviation: float = DEVIATION) -> tuple[Array, float]:
    """Return the cell nearest to the peaks that are on its lines by least squares, and the zero shift in rad."""
    slope, zero, cell = zero_slope(peaks.ln_q), 0.0, cell.copy()
    for reach in _REACHES:
        lines = places_of(terms, cell[None])[0]
        away = (peaks.ln_q - zero * slope)[:, None] - lines
        nearest = np.abs(away).argmin(axis=1)
        off = away[np.arange(len(nearest)), nearest]
        used = np.abs(off) < reach * deviation
        if np.count_nonzero(used) <= len(cell):
            break
        lying = terms[nearest[used]]
        derivative = np.concatenate([0.5 * lying / (lying @ cell)[:, None], slope[used, None]], axis=1)
        weight = np.sqrt(peaks.weight[used]) / deviation
        scale = np.append(np.abs(cell).max() * np.ones_like(cell), 1.0)
        prior = np.append(np.zeros_like(cell), 1 / ZERO_DEVIATION_RAD)
        left = np.concatenate([derivative * scale * weight[:, None], prior[None]])
        right = np.append(off[used] * weight, -zero / ZERO_DEVIATION_RAD)
        step = scale * np.linalg.lstsq(left, right, rcond=1e-8)[0]
        cell = cell + step[:-1]
        zero = min(max(zero + float(step[-1]), -LARGEST_ZERO_RAD), LARGEST_ZERO_RAD)
    return cell, zero


def zero_slope(ln_q: Array) -> Array:
    """Return the change of ln q by a zero shift of 1 rad, that at Cu K-alpha: other wavelengths scale the shift."""
    sine = (np.exp(ln_q) * CU_KALPHA1_A / (4 * np.pi)).clip(max=0.999)
    return np.asarray(0.5 * np.sqrt(1 - sine**2) / sine)


def _odds(lines: Array, ln_q: Array, weight: Array, deviation: float) -> Array:
    """Return the log odds of each cell (cell,)."""
    single = lines.astype(np.float32)  # twice as fast, and fine enough for ln q
    density = np.float32(ON_LINE * WINDOW / (math.sqrt(2 * math.pi) * deviation))
    sharpness = np.float32(-0.5 / deviation**2)
    total = np.zeros(len(lines))
    for place, counts in zip(ln_q.astype(np.float32), weight.tolist(), strict=True):
        away = np.abs(single - place)
        nearest = away.min(axis=1)
        near = (away < np.float32(WINDOW / 2)).sum(axis=1).clip(min=1)
        total += counts * np.log(density / near * np.exp(sharpness * nearest**2) + np.float32(1 - ON_LINE))
    return total
