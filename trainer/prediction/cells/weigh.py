"""Space groups and cells of a network, weighed by what the lines of the scan say.

For each Bravais lattice that the network thinks possible the cell that explains the peaks best is searched. Since the
search takes the best of thousands, wrong cells have log odds of 16 at the median, right ones of 26 (simulated) to 33
(measured). So log odds count above some 15 only, and there by a share, since neighbouring peaks are no independent
witnesses. Within a lattice the groups are compared by the lines that they leave, as far as the cell is to be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.prediction.cells.conventional import terms
from trainer.prediction.cells.extinction import left
from trainer.prediction.cells.line_odds import WINDOW, line_odds
from trainer.prediction.cells.search import FoundCell, reflections, search
from trainer.prediction.qmixer import QMixerPrediction
from trainer.scans.peaks import Peaks, find_peaks
from trainer.training.bravais import BRAVAIS, bravais_of_groups

Array = NDArray[np.float64]

POSSIBLE = 0.02
"""Least probability of a Bravais lattice that is searched; the MOST_LATTICES most probable ones are."""
MOST_LATTICES = 6
MOST_AGAINST = 50.0
"""Log odds that absent lines can take from a group: a group without any line is no number."""
CONSIDERED = 1e-4
"""Least probability of a space group whose absent lines are looked at."""
_SEED = 0


@dataclass(frozen=True)
class Weighing:
    """How a network's probabilities and log odds of lines are combined.

    Fitted to the likelihood of 700 simulated patterns with artefacts of structures that were not trained on; that of
    all but `spread`, which was chosen among three.
    """

    network: float = 0.8
    """Power of the network's probabilities."""
    lines: float = 0.22
    """Share of a cell's log odds that counts, far above those of a lucky cell."""
    absences: float = 0.19
    """Share of the log odds that a space group's absent lines add."""
    lucky: float = 15.0
    """Log odds from which on they count, since luck explains less."""
    spread: float = 5.0
    """Of the rise to the full share, in log odds; that of trust in a cell is a fifth."""


WEIGHING = Weighing()


@dataclass(frozen=True, eq=False)
class LineEvidence:
    """The cells found for a scan, and what each space group's absent lines add to their log odds."""

    cells: Mapping[int, FoundCell]
    """By number of the Bravais lattice."""
    absences: Array
    """Of groups 1 to 230 (at 0 to 229)."""


def with_lines(
    prediction: QMixerPrediction, inputs: NDArray[np.float32], weighing: Weighing = WEIGHING
) -> QMixerPrediction:
    """Return a prediction for inputs (2, bin) of the network, weighed by the lines of the scan."""
    evidence = line_evidence(prediction, inputs)
    return weighed(prediction, evidence, weighing) if evidence.cells else prediction


def line_evidence(prediction: QMixerPrediction, inputs: NDArray[np.float32]) -> LineEvidence:
    """Search cells of the probable Bravais lattices, and compare the absent lines of their space groups."""
    peaks = find_peaks(inputs[0].astype(np.float64) ** 2, inputs[1] > 0)
    probable = [b for b in np.argsort(-prediction.bravais)[:MOST_LATTICES].tolist() if prediction.bravais[b] > POSSIBLE]
    cells, absences = {}, np.zeros(230)
    for number in probable:
        cell = search(BRAVAIS[number], prediction.lattices[number], peaks, np.random.default_rng([_SEED, number]))
        if cell is None:
            continue
        cells[number] = cell
        groups = np.flatnonzero((bravais_of_groups() == number) & (prediction.space_group > CONSIDERED))
        absences[groups] = _odds_of_groups(cell, peaks, (groups + 1).tolist()) - cell.odds
    return LineEvidence(cells, absences)


def weighed(prediction: QMixerPrediction, evidence: LineEvidence, weighing: Weighing = WEIGHING) -> QMixerPrediction:
    """Return the prediction that follows from a network's and from the lines."""
    w = weighing
    found = np.full(len(BRAVAIS), -np.inf)
    for number, cell in evidence.cells.items():
        found[number] = cell.odds
    odds = found[bravais_of_groups()]
    above = (odds - w.lucky) / w.spread
    trust = 1 / (1 + np.exp(-5 * above.clip(-20, 20)))
    logarithm = (
        w.network * np.log(np.maximum(prediction.space_group, 1e-12))
        + w.lines * w.spread * np.logaddexp(0.0, above)
        + w.absences * trust * evidence.absences
    )
    probability = np.exp(logarithm - logarithm.max())
    lattices = prediction.lattices.copy()
    for number, cell in evidence.cells.items():
        lattices[number] = cell.niggli
    return replace(prediction, space_group=probability / probability.sum(), lattices=lattices, line_odds=found)


def _odds_of_groups(cell: FoundCell, peaks: Peaks, groups: list[int]) -> Array:
    """Return the log odds of a cell with the lines that each space group leaves, its axes as they suit best."""
    hkl = reflections(cell.lattice, cell.values, float(peaks.ln_q[-1]) + WINDOW / 2)
    lines, number_of = np.unique(terms(cell.lattice, hkl), axis=0, return_inverse=True)
    number_of = number_of.ravel()
    known: dict[bytes, float] = {}
    found = []
    for group in groups:
        best = -np.inf
        for kept in left(group, cell.lattice, hkl):
            lying = np.zeros(len(lines), dtype=bool)
            lying[number_of[kept]] = True
            key = lying.tobytes()
            if key not in known:
                zeros = np.array([cell.zero_rad])
                has = lying.any()
                known[key] = float(line_odds(lines[lying], cell.values[None], peaks, zeros)[0][0]) if has else -np.inf
            best = max(best, known[key])
        found.append(best)
    return np.maximum(found, cell.odds - MOST_AGAINST)
