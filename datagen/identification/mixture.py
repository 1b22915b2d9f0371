"""Mixtures: further phases are searched in what the found ones leave unexplained, and kept where they are supported.

Several hypotheses of the phases found so far are carried along, because the best structure for a whole scan may be none
of its phases. The score of a set of phases is that of one structure: the cosine of its pattern with the scan, its
scales free, and the log odds that the peaks of the scan are lines of any of its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from datagen.identification import lines
from datagen.identification.axis import POWER, Observed
from datagen.identification.cells import FittedCell, polish
from datagen.identification.coarse import search
from datagen.identification.index import Index
from datagen.identification.refine import reciprocal_cell, refine, reflections
from datagen.identification.scales import Placed, fit_scales, rest

Array = NDArray[np.float64]

COSINE_UNIT, LINE_WEIGHT = 0.03, 0.25
"""Of a set's score: this much cosine counts as one unit of log odds, and the log odds of lines with this weight."""
SUPPORT = 1.2
"""Score that a further phase must add."""
HYPOTHESES = 4
"""Sets of phases that are carried along."""
CANDIDATES = 40
"""Structures fitted to the rest of the scan, for each hypothesis."""
TRIALS = 90
TRIED = 12
"""Of the candidates, how many are tried together with the phases found before."""
MOST_PEAKS = 50
ALIKE = 0.97
"""Cosine above which two structures are one hypothesis."""
_RATIOS: Array = np.logspace(-3.0, 1.0, 17)


@dataclass(frozen=True, eq=False)
class Phase:
    """A structure with its cell fitted to a part of the scan."""

    index: Index
    structure: int
    placed: Placed
    lines: Array
    """Its pattern in the bins, 1 at its maximum."""

    @property
    def reciprocal(self) -> Array:
        """Rows a*, b*, c* of the fitted cell, 1/A."""
        return reciprocal_cell(self.index, self.structure, self.placed.values)


@dataclass(frozen=True, eq=False)
class PhaseSet:
    """Phases that explain a scan together."""

    phases: tuple[Phase, ...]
    ratios: Array
    """Heights of the phases' patterns that give the highest cosine."""
    cosine: float
    line_odds: float

    @property
    def score(self) -> float:
        """Log odds of the set, relative to those of other sets."""
        return self.cosine / COSINE_UNIT + LINE_WEIGHT * self.line_odds


@dataclass(frozen=True, eq=False)
class Mixture:
    """The phases of a scan, in the order in which they were found."""

    best: PhaseSet
    cells: list[FittedCell]
    weight_fraction: Array
    gains: Array
    """Log odds that each phase after the first added."""
    next_gain: float | None
    """What the best further phase would add, where it was searched and not supported."""


def phase_at(index: Index, structure: int, scan: Observed, values: Array) -> Phase:
    """Return a phase with its pattern."""
    placed = Placed(reflections(index, structure), values)
    drawn = np.where(scan.measured, placed.of.lines(values, scan.wavelength_A), 0.0)
    return Phase(index, structure, placed, drawn / max(float(drawn.max()), 1e-300))


def separate(
    scan: Observed,
    first: Sequence[Phase],
    libraries: Sequence[Index],
    allowed: Sequence[NDArray[np.bool_] | None],
    most: int,
) -> Mixture:
    """Return the phases that explain a scan, at most `most`; `first` are the candidates for one of them, best first."""
    at, weight = lines.peaks(scan, MOST_PEAKS)
    sets = [_scored(scan, at, weight, (phase,), np.ones(1)) for phase in _distinct(first)]
    best = sets[0]
    gains: list[float] = []
    next_gain = None
    while len(best.phases) < most:
        further = _further(scan, at, weight, sets, libraries, allowed)
        if not further:
            break
        gain = further[0].score - max(found.score for found in sets)
        if gain < SUPPORT:
            next_gain = gain
            break
        best, sets = further[0], further
        gains.append(gain)
    phases, cells = _polished(scan, best.phases)
    best = replace(best, phases=phases)
    return Mixture(best, cells, weight_fractions(scan, phases), np.array(gains), next_gain)


def _polished(scan: Observed, phases: tuple[Phase, ...]) -> tuple[tuple[Phase, ...], list[FittedCell]]:
    """Return the phases with the cell of each at its minimum against the scan without the others."""
    fitted = fit_scales(scan, [phase.placed for phase in phases])
    found, cells = [], []
    for k, phase in enumerate(phases):
        others = [m for m in range(len(phases)) if m != k]
        left = rest(scan, [phases[m].placed for m in others], replace(fitted, scale=fitted.scale[others]))
        cell = polish(phase.index, phase.structure, left, phase.placed.values, fitted.alpha2_share)
        found.append(phase_at(phase.index, phase.structure, scan, cell.values))
        cells.append(cell)
    return tuple(found), cells


def weight_fractions(scan: Observed, phases: Sequence[Phase]) -> Array:
    """Return weight fractions: scale times mass and volume of the cell (Hill and Howard, 1987), no absorption."""
    fitted = fit_scales(scan, [phase.placed for phase in phases])
    size = np.array([np.exp(-3 * phase.placed.values[0]) for phase in phases])
    mass = fitted.scale * size * np.array([phase.index.mass[phase.structure] for phase in phases])
    return np.asarray(mass / max(float(mass.sum()), 1e-300), dtype=np.float64)


def _distinct(phases: Sequence[Phase]) -> list[Phase]:
    """Return the first phases whose patterns differ."""
    found: list[Phase] = []
    shapes: list[Array] = []
    for phase in phases:
        shape = phase.lines**POWER
        shape = shape / max(float(np.linalg.norm(shape)), 1e-300)
        if all(float(shape @ other) < ALIKE for other in shapes):
            found.append(phase)
            shapes.append(shape)
        if len(found) == HYPOTHESES:
            break
    return found


def _further(
    scan: Observed,
    at: Array,
    weight: Array,
    sets: Sequence[PhaseSet],
    libraries: Sequence[Index],
    allowed: Sequence[NDArray[np.bool_] | None],
) -> list[PhaseSet]:
    """Return the best sets of one phase more, best first."""
    placed = [[phase.placed for phase in found.phases] for found in sets]
    rests = [rest(scan, phases, fit_scales(scan, phases)) for phases in placed]
    found: list[PhaseSet] = []
    searched = [k for k, left in enumerate(rests) if float(left.intensity.max()) > 0]
    if not searched:
        return []
    for index, mask in zip(libraries, allowed, strict=True):
        coarse = search(index, [rests[k] for k in searched], CANDIDATES, mask)
        for k, candidates in zip(searched, coarse, strict=True):
            if not len(candidates.structure):
                continue
            fitted = refine(index, rests[k], candidates, TRIALS)
            for c in range(min(TRIED, len(fitted.structure))):
                phase = phase_at(index, int(fitted.structure[c]), scan, fitted.values(index, c))
                found.append(_joined(scan, at, weight, sets[k], phase))
    found.sort(key=lambda one: -one.score)
    return found[:HYPOTHESES]


def _joined(scan: Observed, at: Array, weight: Array, before: PhaseSet, phase: Phase) -> PhaseSet:
    return _scored(scan, at, weight, (*before.phases, phase), np.append(before.ratios, 0.1))


def _scored(scan: Observed, at: Array, weight: Array, phases: tuple[Phase, ...], ratios: Array) -> PhaseSet:
    """Return a set with its cosine, the ratios tried one after the other, and its line odds."""
    patterns = np.array([phase.lines for phase in phases])
    query = scan.compared()
    query = query / max(float(np.linalg.norm(query)), 1e-300)
    ratios, cosine = ratios.copy(), float(_cosines(query, (ratios @ patterns)[None])[0])
    for _ in range(2 if len(phases) > 1 else 0):
        for k in range(len(phases) - 1, 0, -1):
            others = ratios @ patterns - ratios[k] * patterns[k]
            tried = _cosines(query, others + _RATIOS[:, None] * patterns[k])
            if tried.max() > cosine:
                cosine, ratios[k] = float(tried.max()), _RATIOS[int(tried.argmax())]
    odds = float(lines.log_odds(scan, at, weight, [[phase.reciprocal for phase in phases]])[0])
    return PhaseSet(phases, ratios, cosine, odds)


def _cosines(query: Array, patterns: Array) -> Array:
    """Return the cosines of patterns (pattern, bin) with a query of norm 1."""
    # To the power 3/8: the scale of a pattern does not matter.
    value = np.sqrt(np.sqrt(np.sqrt(patterns * patterns * patterns)))
    return np.asarray(value @ query / np.sqrt((value * value).sum(axis=1) + 1e-18), dtype=np.float64)
