"""Identification of scans: a first search by size, cells fitted as symmetry allows, the lines checked, a vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.atoms import cell_parameters
from curation.niggli import metric_of, reduce_metric
from datagen.identification import lines
from datagen.identification.answer import Candidate, Identified, vote, weights
from datagen.identification.axis import Observed
from datagen.identification.coarse import Coarse, search
from datagen.identification.index import Index
from datagen.identification.network import Network, with_network
from datagen.identification.refine import Fitted, refine

CANDIDATES = 60
REDUCTION_TOLERANCE = 1e-5
"""Of the Niggli reduction, in units of volume^(2/3): library cells are kept to 1e-6 A."""
SCANS_AT_ONCE = 8
Allowed = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Fit:
    """Fitted candidates of one library."""

    index: Index
    fitted: Fitted
    cells: list[NDArray[np.float64]]
    """Reciprocal cells, rows a*, b*, c*, 1/A."""
    odds: NDArray[np.float64]


def identify(
    libraries: Sequence[Index],
    scans: Sequence[tuple[str, Observed]],
    *,
    allowed: Sequence[Allowed] | None = None,
    candidates: int = CANDIDATES,
    network: Network | None = None,
) -> list[Identified]:
    """Return what the libraries, and a network, say about each named scan.

    `allowed` masks the structures of each library.
    """
    masks = allowed if allowed is not None else [None] * len(libraries)
    found = []
    for start in range(0, len(scans), SCANS_AT_ONCE):
        part = scans[start : start + SCANS_AT_ONCE]
        observed = [scan for _, scan in part]
        coarse = [search(index, observed, candidates, mask) for index, mask in zip(libraries, masks, strict=True)]
        for k, (name, scan) in enumerate(part):
            found.append(_answer(name, scan, [(i, c[k]) for i, c in zip(libraries, coarse, strict=True)]))
        if network is not None:
            found[start:] = with_network(found[start:], observed, network)
    return found


def _answer(name: str, scan: Observed, coarse: list[tuple[Index, Coarse]]) -> Identified:
    """Fit the candidates of one scan and let them vote."""
    at, weight = lines.peaks(scan)
    fits = []
    for index, first in coarse:
        if len(first.structure):
            fitted = refine(index, scan, first)
            cells = [fitted.reciprocal(index, k) for k in range(len(fitted.structure))]
            fits.append(_Fit(index, fitted, cells, lines.log_odds(scan, at, weight, cells)))
    if not fits:
        unknown = np.full(230, 1 / 230)
        return Identified(name, [], unknown, scan.covered, unknown)
    share = weights(np.concatenate([f.fitted.score for f in fits]), np.concatenate([f.odds for f in fits]))
    groups = np.concatenate([f.index.space_group[f.fitted.structure].astype(np.int64) for f in fits])
    places = [(f, k) for f in fits for k in range(len(f.fitted.structure))]
    ranked = []
    for i in np.argsort(-share, kind="stable").tolist():
        fit, k = places[i]
        explained = lines.explained(scan, at, weight, fit.cells[k], float(fit.fitted.zero_rad[k]))
        ranked.append(_candidate(fit, k, float(share[i]), explained))
    probability = vote(share, groups)
    return Identified(name, ranked, probability, scan.covered, probability)


def _candidate(fit: _Fit, k: int, share: float, explained: float) -> Candidate:
    index, fitted = fit.index, fit.fitted
    s = int(fitted.structure[k])
    lattice = np.asarray(np.linalg.inv(fit.cells[k]).T, dtype=np.float64)
    reduced = reduce_metric(metric_of(lattice), REDUCTION_TOLERANCE) @ lattice
    names = index.names[s]
    return Candidate(
        formula=names["formula"],
        space_group=int(index.space_group[s]),
        source=names["source"],
        source_id=names["source_id"],
        row=int(index.row[s]),
        library=index.library,
        group=names["group"],
        score=float(fitted.score[k]),
        cosine=float(fitted.cosine[k]),
        line_odds=float(fit.odds[k]),
        explained_lines=explained,
        probability=share,
        niggli=tuple(float(v) for v in cell_parameters(reduced)),
        scale=float(np.exp(-fitted.shift[k])),
        zero_shift_deg=float(np.degrees(fitted.zero_rad[k])),
    )
