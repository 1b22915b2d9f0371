"""Second search: the cells of the candidates change as their symmetry allows, at full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from datagen.identification.axis import Observed
from datagen.identification.coarse import Coarse
from datagen.identification.index import HALF_WIDTH, Index
from trainer.simulate.axis import LN_Q_MIN, N_BINS
from trainer.simulate.axis import LN_Q_STEP as STEP

Array = NDArray[np.float64]

TRIALS = 140
"""Random steps for each candidate; each is kept where it is better."""
LARGEST_ZERO_RAD = 0.0015
"""Of the zero shift of 2theta: 0.09 degrees."""
PENALTY = 20.0
"""Cosine that a squared strain without change of volume costs."""
SIZE_PENALTY = 2.0
"""Cosine that a squared change of ln q costs: 0.01 at 7 %."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Candidates with their cells, best first."""

    structure: NDArray[np.int64]
    cosine: Array
    """Of the fitted pattern with the scan."""
    score: Array
    """The cosine less what the strain costs."""
    shift: Array
    """Change of ln q."""
    strain: Array
    """(candidate, 5): along the structure's free strains."""
    zero_rad: Array
    """Zero shift of 2theta."""

    def reciprocal(self, index: Index, k: int) -> Array:
        """Return the fitted reciprocal cell of candidate k, rows a*, b*, c*, 1/A."""
        return reciprocal_cell(index, int(self.structure[k]), self.values(index, k))

    def values(self, index: Index, k: int) -> Array:
        """Return shift, zero and strains of candidate k."""
        n = int(index.n_strains[self.structure[k]])
        return np.array([self.shift[k], self.zero_rad[k], *self.strain[k, :n]])


@dataclass(frozen=True, eq=False)
class Reflections:
    """What of a structure's reflections moves with its cell."""

    ln_q: Array
    f_squared: Array
    """Multiplicity times |F|^2, of the strongest reflection."""
    direction: Array
    """(reflection, strain): change of ln d by each free strain."""

    def lines(self, values: Array, wavelength_A: float) -> Array:
        """Return the pattern at values = (shift, zero, strains...): triangular lines in the bins."""
        found = np.zeros(N_BINS)
        draw_lines(self.ln_q, self.f_squared, self.direction, values, wavelength_A, found)
        return found


def reflections(index: Index, structure: int) -> Reflections:
    """Return the reflections of a structure of the index."""
    part = slice(int(index.first[structure]), int(index.first[structure + 1]))
    vectors = index.hkl[part].astype(np.float64) @ index.reciprocal[structure]
    squared = (vectors**2).sum(axis=1)
    tensors = index.strains[structure, : int(index.n_strains[structure])].astype(np.float64)
    direction = np.einsum("ra,kab,rb->rk", vectors, tensors, vectors) / squared[:, None]
    return Reflections(
        0.5 * np.log(squared) + np.log(2 * np.pi),
        index.intensity[part].astype(np.float64),
        np.ascontiguousarray(direction),
    )


def reciprocal_cell(index: Index, structure: int, values: Array) -> Array:
    """Return the reciprocal cell at values = (shift, zero, strains...), rows a*, b*, c*, 1/A."""
    n = min(len(values) - 2, int(index.n_strains[structure]))
    strain = np.tensordot(values[2 : 2 + n], index.strains[structure, :n], axes=1)
    own = index.reciprocal[structure]
    found: Array = np.linalg.cholesky(own @ (np.eye(3) - 2 * strain) @ own.T * np.exp(2 * values[0]))
    return found


def refine(index: Index, scan: Observed, coarse: Coarse, trials: int = TRIALS) -> Fitted:
    """Fit the cells of the candidates; the same input gives the same output."""
    n = len(coarse.structure)
    cosine, score, zero = np.zeros(n), np.zeros(n), np.zeros(n)
    shift, strain = coarse.shift.copy(), np.zeros((n, 5))
    query = scan.compared()
    for k, s in enumerate(coarse.structure.tolist()):
        of = reflections(index, s)
        n_strains = of.direction.shape[1]
        fit = _climb(
            query,
            scan.measured,
            of.ln_q,
            of.f_squared,
            of.direction,
            shift[k],
            scan.wavelength_A,
            _steps(trials if n_strains else trials // 2),
            SIZE_PENALTY,
            PENALTY,
        )
        cosine[k], score[k], shift[k], zero[k] = fit[0], fit[1], fit[2], fit[3]
        strain[k, :n_strains] = fit[4 : 4 + n_strains]
    order = np.argsort(-score, kind="stable")
    return Fitted(coarse.structure[order], cosine[order], score[order], shift[order], strain[order], zero[order])


@compiled
def draw_lines(
    ln_q0: Array, f_squared: Array, direction: Array, values: Array, wavelength_A: float, lines: Array
) -> None:
    """Fill `lines` with the pattern at values = (shift, zero, strains...): triangular lines in the bins."""
    lines[:] = 0.0
    for r in range(len(ln_q0)):
        change = 0.0
        for j in range(direction.shape[1]):
            change += values[2 + j] * direction[r, j]
        if change > 0.4:
            continue
        ln_q = ln_q0[r] + values[0] + 0.5 * np.log(1.0 - 2.0 * change)
        sine = np.exp(ln_q) * wavelength_A / (4 * np.pi)
        if sine >= 0.995 or sine < 0.005:
            continue
        cosine_squared = 1.0 - sine * sine
        root = np.sqrt(cosine_squared)
        polarised = 1.0 - 2.0 * sine * sine
        height = f_squared[r] * (1.0 + polarised * polarised) / (sine * sine * root)
        at = (ln_q + 0.5 * values[1] * root / sine - LN_Q_MIN) / STEP - 0.5
        first = int(np.ceil(at - HALF_WIDTH))
        last = int(np.floor(at + HALF_WIDTH))
        for j in range(max(first, 0), min(last, N_BINS - 1) + 1):
            lines[j] += height * (1.0 - abs(j - at) / HALF_WIDTH)


@compiled
def _cosine(query: Array, norm: float, measured: NDArray[np.bool_], lines: Array) -> float:
    """Cosine of the scan and drawn lines."""
    highest = 0.0
    for j in range(N_BINS):
        if measured[j] and lines[j] > highest:
            highest = lines[j]
    if highest <= 0.0:
        return 0.0
    product = 0.0
    squares = 0.0
    for j in range(N_BINS):
        if measured[j] and lines[j] > 0.0:
            relative = lines[j] / highest
            value = np.sqrt(np.sqrt(np.sqrt(relative * relative * relative)))  # to the power 3/8
            product += value * query[j]
            squares += value * value
    return float(product / (np.sqrt(squares) * norm + 1e-9))


@compiled
def _climb(
    query: Array,
    measured: NDArray[np.bool_],
    ln_q0: Array,
    f_squared: Array,
    direction: Array,
    shift: float,
    wavelength_A: float,
    steps: Array,
    size_penalty: float,
    penalty: float,
) -> Array:
    """Return cosine, score, shift, zero and strains after steps of which each is kept where the score rises."""
    n = direction.shape[1]
    norm = np.sqrt((query * query).sum())
    lines = np.zeros(N_BINS)
    best = np.zeros(2 + n)
    best[0] = shift
    trial = best.copy()
    draw_lines(ln_q0, f_squared, direction, best, wavelength_A, lines)
    cosine = _cosine(query, norm, measured, lines)
    score = cosine - size_penalty * shift * shift
    for t in range(len(steps)):
        for j in range(2 + n):
            trial[j] = best[j] + steps[t, j]
        if abs(trial[1]) > LARGEST_ZERO_RAD:
            trial[1] = best[1]
        cost = size_penalty * trial[0] * trial[0]
        for j in range(n):
            cost += penalty * trial[2 + j] * trial[2 + j]
        draw_lines(ln_q0, f_squared, direction, trial, wavelength_A, lines)
        value = _cosine(query, norm, measured, lines)
        if value - cost > score:
            cosine = value
            score = value - cost
            best[:] = trial
    found = np.empty(4 + n)
    found[0] = cosine
    found[1] = score
    found[2:] = best
    return found


@cache
def _steps(trials: int) -> Array:
    """Return random steps (trial, 7) of shift, zero and strains, which shrink; many of them move some values only."""
    random = np.random.default_rng(0)
    size = 0.008 * (1.0 - np.arange(trials) / trials) + 0.0006
    steps = size[:, None] * random.standard_normal((trials, 7)) * (random.random((trials, 7)) < 0.6)
    steps[:, 0] *= 0.7
    steps[:, 1] = 0.0003 * random.standard_normal(trials)
    return np.asarray(steps, dtype=np.float64)
