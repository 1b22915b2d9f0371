"""Line match: log odds that the peaks of a scan sit on lines of a cell, against the density of its lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from datagen.identification.axis import Observed
from trainer.scans.peaks import MOST_PEAKS, find_peaks
from trainer.simulate.axis import LN_Q_MIN, N_BINS, Q_MAX
from trainer.simulate.axis import LN_Q_STEP as STEP

Array = NDArray[np.float64]

TOLERANCE = 0.003
"""Of ln q."""
ON_LINE = 0.93
"""Share of the peaks of a right cell that are on its lines; the others belong to other phases or are noise."""
_NEIGHBOURHOOD = 0.12
"""Half width in ln q of the range in which the density of lines is counted."""
_FINE = 2
"""Fine bins of the marks in a bin of the axis."""
_MOST_LINES = 6000
_ZEROS_RAD: Array = np.linspace(-0.0016, 0.0016, 9)


def peaks(scan: Observed, most: int = MOST_PEAKS) -> tuple[Array, Array]:
    """Return ln q and weight of the `most` highest peaks, in ascending q."""
    found = find_peaks(scan.intensity, scan.measured, most)
    return found.ln_q, found.weight


def log_odds(scan: Observed, ln_q: Array, weight: Array, reciprocal: Sequence[Array | Sequence[Array]]) -> Array:
    """Return for each reciprocal cell (rows a*, b*, c*, primitive) the log odds that the peaks are its lines.

    Several cells in one place are those of a mixture: the peaks may be lines of any of them.
    """
    if len(ln_q) < 3:
        return np.zeros(len(reciprocal))
    measured = LN_Q_MIN + STEP * np.flatnonzero(scan.measured)[[0, -1]]
    low = max(float(measured[0]), float(ln_q[0]) - 0.7)
    high = min(float(ln_q[-1]) + 0.01, float(np.log(Q_MAX)))
    found = np.empty(len(reciprocal))
    for k, cells in enumerate(reciprocal):
        q = np.exp(low - 0.03) / (2 * np.pi), np.exp(high + 0.03) / (2 * np.pi)
        of_each = [_lines(cell, *q) for cell in ([cells] if isinstance(cells, np.ndarray) else cells)]
        known = [lines for lines in of_each if lines is not None]
        number = sum(map(len, known))
        # Lines so dense that every peak is on one are no evidence; neither is a cell without any.
        found[k] = (
            _best(np.concatenate(known), ln_q, weight, low, high, scan.wavelength_A, _ZEROS_RAD)
            if len(known) == len(of_each) and 0 < number < _MOST_LINES
            else -1e3
        )
    return found


def on_lines(scan: Observed, ln_q: Array, reciprocal: Array, zero_rad: float) -> NDArray[np.bool_] | None:
    """Return which peaks lie on lines of a cell; None where its lines are too many to tell."""
    if not len(ln_q):
        return np.zeros(0, dtype=bool)
    found = _lines(reciprocal, np.exp(ln_q[0] - 0.03) / (2 * np.pi), np.exp(ln_q[-1] + 0.03) / (2 * np.pi))
    if found is None:
        return None
    lines = np.sort(found)
    sine = (np.exp(lines) * scan.wavelength_A / (4 * np.pi)).clip(max=0.999)
    lines = lines + 0.5 * zero_rad * np.sqrt(1 - sine**2) / sine
    if not len(lines):
        return np.zeros(len(ln_q), dtype=bool)
    after = np.searchsorted(lines, ln_q).clip(1, len(lines) - 1) if len(lines) > 1 else np.zeros(len(ln_q), np.int64)
    distance = np.minimum(np.abs(lines[after] - ln_q), np.abs(lines[after - 1] - ln_q))
    return np.asarray(distance < TOLERANCE)


def explained(scan: Observed, ln_q: Array, weight: Array, reciprocal: Array, zero_rad: float) -> float | None:
    """Return the share of the peaks, by weight, that lie on lines of a cell; None where its lines are too many."""
    return share(weight, on_lines(scan, ln_q, reciprocal, zero_rad))


def share(weight: Array, chosen: NDArray[np.bool_] | None) -> float | None:
    """Return the share of chosen peaks, by weight; None where it is not known which."""
    if chosen is None:
        return None
    return float(weight[chosen].sum() / weight.sum()) if len(weight) else 0.0


def two_theta_deg(reciprocal: Array, wavelength_A: float, zero_shift_deg: float) -> Array:
    """Return the angles of a cell's lines down to the end of the axis; none where they are too many to show."""
    found = _lines(reciprocal, 1e-3, Q_MAX / (2 * np.pi))
    if found is None:
        return np.zeros(0)
    sine = np.exp(found) * wavelength_A / (4 * np.pi)
    return np.asarray(2 * np.degrees(np.arcsin(np.sort(sine[sine < 1]))) + zero_shift_deg, dtype=np.float64)


def _lines(reciprocal: Array, low: float, high: float) -> Array | None:
    """Return ln q of the half sphere of reflections between two 1/d; None where they are more than 6,000."""
    volume = abs(float(np.linalg.det(reciprocal)))
    if 2 * np.pi / 3 * high**3 / volume > _MOST_LINES:
        return None
    direct = np.linalg.inv(reciprocal).T
    most = [int(high * np.linalg.norm(vector)) for vector in direct]
    grid = np.mgrid[0 : most[0] + 1, -most[1] : most[1] + 1, -most[2] : most[2] + 1].reshape(3, -1).T.astype(np.float64)
    squared = ((grid @ reciprocal) ** 2).sum(axis=1)
    is_half = (grid[:, 0] > 0) | (grid[:, 1] > 0) | ((grid[:, 1] == 0) & (grid[:, 2] > 0))
    kept: Array = 0.5 * np.log(squared[is_half & (squared > low**2) & (squared < high**2)]) + np.log(2 * np.pi)
    return kept


@compiled
def _best(
    lines: Array, ln_q: Array, weight: Array, low: float, high: float, wavelength_A: float, zeros_rad: Array
) -> float:
    """Return the highest log odds over some zero shifts."""
    fine = STEP / _FINE
    n = N_BINS * _FINE
    reach = int(TOLERANCE / fine + 0.5)
    first = max(int((low - LN_Q_MIN) / fine), 0)
    last = min(int((high - LN_Q_MIN) / fine), n)
    window = int(_NEIGHBOURHOOD / fine)
    best = -1e9
    marked = np.zeros(n, dtype=np.uint8)
    total = np.zeros(n + 1, dtype=np.int64)
    for z in range(len(zeros_rad)):
        marked[:] = 0
        for i in range(len(lines)):
            sine = np.exp(lines[i]) * wavelength_A / (4 * np.pi)
            if sine >= 0.99:
                continue
            at = lines[i] + 0.5 * zeros_rad[z] * np.sqrt(1.0 - sine * sine) / sine
            centre = int((at - LN_Q_MIN) / fine)
            for j in range(max(centre - reach, 0), min(centre + reach, n - 1) + 1):
                marked[j] = 1
        for j in range(n):
            total[j + 1] = total[j] + marked[j]
        odds = 0.0
        for i in range(len(ln_q)):
            at_peak = int((ln_q[i] - LN_Q_MIN) / fine)
            if at_peak < 0 or at_peak >= n:
                continue
            left = max(first, at_peak - window)
            right = min(last, at_peak + window)
            if right - left < 20:
                continue
            density = (total[right] - total[left] + 2.0) / (right - left + 6.0)
            if density >= ON_LINE:
                if not marked[at_peak]:
                    odds -= weight[i]
            elif marked[at_peak]:
                odds += weight[i] * np.log(ON_LINE / density)
            else:
                odds += weight[i] * np.log((1.0 - ON_LINE) / (1.0 - density))
        if odds > best:
            best = odds
    return best
