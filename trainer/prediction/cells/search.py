"""Search of the cell of a Bravais lattice that explains the peaks of a scan, near one that a network predicts.

As many low-angle peaks as the cell has free numbers, each taken for a line that lies near it, give a cell. Thousands
of such choices at random are compared with the first peaks, the best with all; the best of these are fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.prediction.cells.conventional import (
    FREE,
    SQUARES,
    are_cells,
    niggli_cell,
    present,
    reciprocal_metrics,
    shapes,
    terms,
)
from trainer.prediction.cells.line_odds import DEVIATION, LN_2PI, WINDOW, ZEROS_RAD, fitted, line_odds, places_of
from trainer.prediction.cells.starts import starts
from trainer.scans.peaks import Peaks

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CHOICES = {1: 0, 2: 1500, 3: 8000, 4: 16000}
"""Random choices by the number of free numbers."""
NEAR = 0.3
"""Of ln q between a peak and the lines it may be."""
FARTHEST = 0.5
"""Largest change of an axis, as a logarithm; of the cosine of an angle, FARTHEST_COSINE."""
FARTHEST_COSINE = 0.25
USUAL = 0.09
"""Usual error of a network's axes: a change by it costs one unit of log odds."""
FIRST_PEAKS = 5
"""Of the choices, beside as many as there are free numbers."""
KEPT, FITTED = 100, 12
CHOICES_AGAIN = {4: 150}
"""Random choices near each of the best cells, by the number of free numbers."""
VERY_NEAR, MORE_PEAKS = 0.03, 8
FEWEST_PEAKS = 4
MOST_LINES = 200
"""Lines of one spacing count once."""
HIGHEST_INDEX = 48
SHORTEST_A, LONGEST_A = 1.5, 150.0
"""Edges of predicted cells that are searched near."""
BEYOND = 0.15
"""Of ln q: lines beyond the last peak that a change of the cell may bring to it."""
AT_ONCE = 2000
_ZERO: Array = np.zeros(1)


@dataclass(frozen=True, eq=False)
class FoundCell:
    """The best cell of a Bravais lattice."""

    lattice: str
    values: Array
    """Free numbers of `conventional`."""
    zero_rad: float
    odds: float
    """Log odds of all peaks, its costs as a change of the predicted cell not counted."""

    @property
    def niggli(self) -> Array:
        """Return the Niggli cell, A and degrees."""
        return niggli_cell(self.lattice, self.values)


def search(lattice: str, niggli: Array, peaks: Peaks, generator: np.random.Generator) -> FoundCell | None:
    """Return the best cell near a predicted Niggli cell, A and degrees; None where peaks or lines are too few.

    Triclinic cells, with six free numbers, are not searched.
    """
    if FREE[lattice[0]] not in CHOICES or len(peaks) < FEWEST_PEAKS:
        return None
    # A comparison with a number that is none is false.
    if not ((niggli[:3] > SHORTEST_A) & (niggli[:3] < LONGEST_A) & np.isfinite(niggli[3:])).all():
        return None
    found = [cell for start in starts(lattice, niggli) if (cell := _near(lattice, start, peaks, generator)) is not None]
    if not found:
        return None
    _, values, zero = max(found, key=lambda one: one[0])
    lines = spacings(lattice, values, float(peaks.ln_q[-1]) + WINDOW / 2)[0]
    odds, at = line_odds(lines, values[None], peaks, np.append(ZEROS_RAD, zero))
    return FoundCell(lattice, values, float(at[0]), float(odds[0]))


def spacings(lattice: str, values: Array, ln_q: float, most: int | None = None) -> tuple[Array, Array]:
    """Return the terms of lines of a cell up to ln q, ascending, each spacing once, and their ln q."""
    hkl = reflections(lattice, values, ln_q)
    lines = np.unique(terms(lattice, hkl), axis=0)
    at = places_of(lines, values[None])[0]
    order = np.argsort(at, kind="stable")[:most]
    return lines[order], at[order]


def reflections(lattice: str, values: Array, ln_q: float) -> Indices:
    """Return the indices of half of the reflections of a cell up to ln q."""
    highest = math.exp(ln_q - LN_2PI)
    lengths = np.sqrt(np.diag(np.linalg.inv(reciprocal_metrics(lattice, values))))
    n = [min(int(highest * length) + 1, HIGHEST_INDEX) for length in lengths.tolist()]
    hkl = np.mgrid[0 : n[0] + 1, -n[1] : n[1] + 1, -n[2] : n[2] + 1].reshape(3, -1).T
    h, k, l = hkl.T  # noqa: E741 - the letters of crystallography
    hkl = hkl[((h > 0) | (k > 0) | ((k == 0) & (l > 0))) & present(lattice, hkl)]
    return np.asarray(hkl[terms(lattice, hkl) @ values < highest**2])


def _near(
    lattice: str, start: Array, peaks: Peaks, generator: np.random.Generator
) -> tuple[float, Array, float] | None:
    """Return the log odds less costs, free numbers and zero shift of the best cell near one."""
    free = len(start)
    lines, at = spacings(lattice, start, float(peaks.ln_q[-1]) + NEAR, MOST_LINES)
    if len(lines) <= free:
        return None
    # A large cell has more lines than are kept: peaks beyond them wait for the last comparison.
    reached = peaks.ln_q <= at[-1] - BEYOND
    reached[: free + 2] = True
    seen = Peaks(peaks.ln_q[reached], peaks.weight[reached])
    cells, costs = _candidates(lattice, start, lines, at, seen, generator)
    best = np.argsort(costs - line_odds(lines, cells, seen, _ZERO, 2 * DEVIATION)[0], kind="stable")[:FITTED]
    cells = np.array([fitted(lines, cell, seen, 2 * DEVIATION)[0] for cell in cells[best]])
    cells, costs = _close(lattice, cells, start)
    if not len(cells):
        return None
    odds, zeros = line_odds(lines, cells, seen, ZEROS_RAD)
    number = int((odds - costs).argmax())
    known = float(odds[number] - costs[number]), cells[number], float(zeros[number])
    finer, zero = fitted(lines, cells[number], seen)
    kept, costs = _close(lattice, finer[None], start)
    if len(kept):
        better = float(line_odds(lines, kept, seen, np.array([zero]))[0][0] - costs[0])
        if better > known[0]:
            return better, finer, zero
    return known


def _candidates(
    lattice: str, start: Array, lines: Array, at: Array, peaks: Peaks, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Return cells that explain the first peaks best, and what their changes cost."""
    free = len(start)
    n_first = FIRST_PEAKS + free
    first = Peaks(peaks.ln_q[:n_first], peaks.weight[:n_first])
    cells = np.concatenate([start[None], _chosen(lines, at, first.ln_q, free, generator)])
    cells, costs = _close(lattice, cells, start)
    if len(cells) <= KEPT:
        return cells, costs
    low = lines[at < first.ln_q[-1] + NEAR]
    cells, costs = _best(low, cells, costs, first)
    if free not in CHOICES_AGAIN:
        return cells, costs
    again = np.concatenate([_chosen_again(lines, cell, peaks.ln_q, generator) for cell in cells])
    more, of_more = _best(low, *_close(lattice, again, start), first)
    return np.concatenate([cells, more]), np.concatenate([costs, of_more])


def _best(lines: Array, cells: Array, costs: Array, peaks: Peaks) -> tuple[Array, Array]:
    """Return the cells of the KEPT highest log odds less costs, and their costs."""
    parts = np.array_split(cells, -(-len(cells) // AT_ONCE) or 1)
    odds = np.concatenate([line_odds(lines, part, peaks, _ZERO, 2 * DEVIATION)[0] for part in parts])
    best = np.argsort(costs - odds, kind="stable")[:KEPT]
    return cells[best], costs[best]


def _chosen(lines: Array, at: Array, ln_q: Array, free: int, generator: np.random.Generator) -> Array:
    """Return cells (cell, number) of which some peaks, taken at random for lines near them, are lines."""
    near = np.abs(at - ln_q[:, None]) < NEAR
    if free == 1:
        peak, line = near.nonzero()
        return np.asarray(np.exp(2 * (ln_q[peak] - LN_2PI))[:, None] / lines[line])
    return _solved(lines, near, ln_q, CHOICES[free], generator)


def _solved(lines: Array, near: NDArray[np.bool_], ln_q: Array, n: int, generator: np.random.Generator) -> Array:
    """Return cells of which as many peaks as they have free numbers are lines, each one of those near it at random."""
    free = lines.shape[1]
    number = near.sum(axis=1)
    usable = np.flatnonzero(number)
    if len(usable) < free:
        return np.zeros((0, free))
    of_peak = np.argsort(~near, axis=1, kind="stable")
    peak = usable[np.argsort(generator.random((n, len(usable))), axis=1)[:, :free]]
    chosen = lines[of_peak[peak, (generator.random((n, free)) * number[peak]).astype(np.int64)]]
    solvable = np.abs(np.linalg.det(chosen)) > 1e-9
    squares = np.exp(2 * (ln_q[peak[solvable]] - LN_2PI))
    return np.asarray(np.linalg.solve(chosen[solvable], squares[..., None])[..., 0])


def _chosen_again(lines: Array, cell: Array, ln_q: Array, generator: np.random.Generator) -> Array:
    """Return cells of which peaks, taken at random for lines of a cell very near them, are lines."""
    ln_q = ln_q[: MORE_PEAKS + len(cell)]
    near = np.abs(places_of(lines, cell[None]) - ln_q[:, None]) < VERY_NEAR
    return _solved(lines, near, ln_q, CHOICES_AGAIN[len(cell)], generator)


def _close(lattice: str, cells: Array, start: Array) -> tuple[Array, Array]:
    """Return the cells within reach of one, and what their changes cost."""
    cells = cells[are_cells(lattice, cells)]
    change = np.abs(shapes(lattice, cells) - shapes(lattice, start))
    axes = change[:, : SQUARES[lattice[0]]]
    close = (axes.max(axis=1) < FARTHEST) & (change[:, axes.shape[1] :].max(axis=1, initial=0.0) < FARTHEST_COSINE)
    return cells[close], axes[close].mean(axis=1) / USUAL
