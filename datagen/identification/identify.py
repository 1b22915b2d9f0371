"""Identification of scans: a first search by size, cells fitted as symmetry allows, the lines checked, a vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.identification import lines
from datagen.identification.answer import Candidate, Identified, Mixed, MixedPhase, shares, vote
from datagen.identification.axis import Observed
from datagen.identification.cells import FittedCell, fitted_cell, polish
from datagen.identification.coarse import Coarse, search
from datagen.identification.index import Index
from datagen.identification.mixture import Phase, phase_at, separate
from datagen.identification.network import Network, with_network
from datagen.identification.refine import Fitted, refine, reflections
from datagen.identification.scales import Placed, fit_scales

CANDIDATES = 60
POLISHED = 10
"""Candidates whose cells are brought to the minimum, with uncertainties."""
COMPARED = 20
"""Candidates that a network compares with the scan."""
FIRST = 25
"""Candidates that may be the first phase of a mixture."""
SCANS_AT_ONCE = 8
Allowed = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted candidates of one library."""

    index: Index
    fitted: Fitted
    odds: NDArray[np.float64]
    """Log odds that the scan's peaks are lines of the fitted cells."""

    @property
    def space_group(self) -> NDArray[np.int64]:
        """Return the candidates' space groups."""
        return self.index.space_group[self.fitted.structure].astype(np.int64)

    def values(self, k: int) -> NDArray[np.float64]:
        """Return shift, zero and strains of candidate k."""
        return self.fitted.values(self.index, k)

    def placed(self, k: int) -> Placed:
        """Return candidate k with its cell."""
        return Placed(reflections(self.index, int(self.fitted.structure[k])), self.values(k))


def identify(
    libraries: Sequence[Index],
    scans: Sequence[tuple[str, Observed]],
    *,
    allowed: Sequence[Allowed] | None = None,
    candidates: int = CANDIDATES,
    network: Network | None = None,
    phases: int = 1,
) -> list[Identified]:
    """Return what the libraries, and a network, say about each named scan.

    `allowed` masks the structures of each library. With `phases` above 1 mixtures of up to that number are separated.
    """
    masks = allowed if allowed is not None else [None] * len(libraries)
    found = []
    for start in range(0, len(scans), SCANS_AT_ONCE):
        part = scans[start : start + SCANS_AT_ONCE]
        observed = [scan for _, scan in part]
        coarse = [search(index, observed, candidates, mask) for index, mask in zip(libraries, masks, strict=True)]
        for k, (name, scan) in enumerate(part):
            fits = [fit(index, scan, first[k]) for index, first in zip(libraries, coarse, strict=True)]
            one, places = answer(name, scan, fits, network)
            if phases > 1 and places:
                starts = [phase_at(f.index, int(f.fitted.structure[c]), scan, f.values(c)) for f, c in places[:FIRST]]
                one = replace(one, mixture=_mixed(scan, starts, libraries, masks, phases))
            found.append(one)
        if network is not None:
            found[start:] = with_network(found[start:], observed, network)
    return found


def fit(index: Index, scan: Observed, first: Coarse) -> Fit:
    """Fit the cells of the candidates of the first search, and compare the scan's peaks with their lines."""
    fitted = refine(index, scan, first)
    cells = [fitted.reciprocal(index, k) for k in range(len(fitted.structure))]
    return Fit(index, fitted, lines.log_odds(scan, *lines.peaks(scan), cells))


def ballot(fits: Sequence[Fit], likeness: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the shares of all candidates in the vote, and the probabilities of the space groups."""
    score, odds = (np.concatenate(parts) for parts in ([f.fitted.score for f in fits], [f.odds for f in fits]))
    share = shares(
        score, odds, None if likeness is None else np.where(np.isnan(likeness), np.nanmin(likeness), likeness)
    )
    return share, vote(share, np.concatenate([f.space_group for f in fits]))


def compared(scan: Observed, fits: Sequence[Fit], network: Network) -> Floats:
    """Return how alike a network sees the scan and the best candidates, NaN for the others."""
    share, _ = ballot(fits)
    places = [(f, k) for f in fits for k in range(len(f.fitted.structure))]
    best = np.argsort(-share, kind="stable")[:COMPARED]
    patterns = [f.placed(k).of.lines(f.values(k), scan.wavelength_A) for f, k in (places[i] for i in best)]
    found = np.full(len(share), np.nan)
    found[best] = network.likeness(scan, np.array(patterns))
    return found


def answer(
    name: str, scan: Observed, fits: Sequence[Fit], network: Network | None = None
) -> tuple[Identified, list[tuple[Fit, int]]]:
    """Let the candidates of one scan vote; return the answer and the fits, best first."""
    if not any(len(f.fitted.structure) for f in fits):
        unknown = np.full(230, 1 / 230)
        return Identified(name, [], unknown, scan.covered, unknown), []
    likeness = None if network is None else compared(scan, fits, network)
    share, probability = ballot(fits, likeness)
    at, weight = lines.peaks(scan)
    places = [(f, k) for f in fits for k in range(len(f.fitted.structure))]
    order = np.argsort(-share, kind="stable").tolist()
    alpha2 = _alpha2_share(scan, *places[order[0]])
    ranked = []
    for rank, i in enumerate(order):
        of, k = places[i]
        structure, values = int(of.fitted.structure[k]), of.values(k)
        if rank < POLISHED:
            cell = polish(of.index, structure, scan, values, alpha2)
        else:
            cell = fitted_cell(of.index, structure, values)
        ranked.append(
            Candidate(
                **_match(of.index, structure, cell),
                explained_lines=lines.explained(
                    scan, at, weight, of.fitted.reciprocal(of.index, k), float(of.fitted.zero_rad[k])
                ),
                score=float(of.fitted.score[k]),
                cosine=float(of.fitted.cosine[k]),
                line_odds=float(of.odds[k]),
                probability=float(share[i]),
                likeness=None if likeness is None or np.isnan(likeness[i]) else float(likeness[i]),
            )
        )
    return Identified(name, ranked, probability, scan.covered, probability), [places[i] for i in order]


def best_cell(scan: Observed, of: Fit, k: int) -> FittedCell:
    """Return the cell of candidate k at its minimum."""
    return polish(of.index, int(of.fitted.structure[k]), scan, of.values(k), _alpha2_share(scan, of, k))


def _alpha2_share(scan: Observed, of: Fit, k: int) -> float:
    """Return the intensity of K-alpha2 in a scan that candidate k explains."""
    return fit_scales(scan, [of.placed(k)]).alpha2_share


def _mixed(
    scan: Observed,
    first: Sequence[Phase],
    libraries: Sequence[Index],
    masks: Sequence[Allowed | None],
    most: int,
) -> Mixed:
    """Return the phases of a scan with their cells."""
    at, weight = lines.peaks(scan)
    found = separate(scan, first, libraries, masks, most)
    phases: list[MixedPhase] = []
    explained: NDArray[np.bool_] | None = np.zeros(len(at), dtype=bool)
    for k, (phase, cell) in enumerate(zip(found.best.phases, found.cells, strict=True)):
        on = lines.on_lines(scan, at, phase.reciprocal, float(phase.placed.values[1]))
        explained = None if explained is None or on is None else explained | on
        phases.append(
            MixedPhase(
                **_match(phase.index, phase.structure, cell),
                explained_lines=lines.share(weight, on),
                weight_fraction=float(found.weight_fraction[k]),
                added_log_odds=float(found.gains[k - 1]) if k else None,
            )
        )
    phases.sort(key=lambda phase: -phase.weight_fraction)
    return Mixed(phases, found.best.cosine, lines.share(weight, explained), found.next_gain, most)


def _match(index: Index, structure: int, cell: FittedCell) -> dict[str, Any]:
    """Return the fields of a match."""
    names = index.names[structure]
    return {
        **{name: names[name] for name in ("formula", "source", "source_id", "group")},
        "space_group": int(index.space_group[structure]),
        "row": int(index.row[structure]),
        "library": index.library,
        "niggli": cell.niggli,
        "niggli_uncertainty": cell.niggli_uncertainty,
        "conventional": cell.conventional,
        "conventional_uncertainty": cell.conventional_uncertainty,
        "scale": float(np.exp(-cell.values[0])),
        "zero_shift_deg": float(np.degrees(cell.values[1])),
    }
