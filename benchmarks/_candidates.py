"""Fitted candidates of scans, kept in a file: another vote or calibration is then compared without another search."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.identification.axis import Observed
from datagen.identification.coarse import search
from datagen.identification.identify import CANDIDATES, SCANS_AT_ONCE, Fit, compared, fit
from datagen.identification.index import Index
from datagen.identification.network import Network
from datagen.identification.refine import Fitted

Array = NDArray[np.float64]

SPARE = 25
"""Candidates more than vote: they take the places of structures that are left out."""
_KEPT_EVERY = 8
"""Rounds of SCANS_AT_ONCE scans."""
_FITTED = ("structure", "cosine", "score", "shift", "strain", "zero_rad")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of one scan."""

    fit: Fit
    rank: NDArray[np.int64]
    """Place of each in the first search."""
    seconds: float
    """Of a core, for search and fits."""

    def voting(self, allowed: NDArray[np.bool_] | None = None) -> Fit:
        """Return the candidates that vote: the best of the first search among the allowed structures."""
        structure = self.fit.fitted.structure
        usable = np.flatnonzero(np.ones(len(structure), dtype=bool) if allowed is None else allowed[structure])
        chosen = np.sort(usable[np.argsort(self.rank[usable], kind="stable")[:CANDIDATES]])
        fitted = Fitted(**{name: getattr(self.fit.fitted, name)[chosen] for name in _FITTED})
        return Fit(self.fit.index, fitted, self.fit.odds[chosen])


def candidates_of(index: Index, scans: list[Observed], kept: Path | None = None) -> list[Candidates]:
    """Return the candidates of all scans; those in the file `kept` are not searched again, and the others added."""
    found = _read(index, kept) if kept is not None and kept.exists() else []
    for number, start in enumerate(range(len(found), len(scans), SCANS_AT_ONCE), start=1):
        began = time.process_time()
        part = scans[start : start + SCANS_AT_ONCE]
        for scan, first in zip(part, search(index, part, CANDIDATES + SPARE), strict=True):
            one = fit(index, scan, first)
            rank = np.argsort(first.structure)[np.searchsorted(np.sort(first.structure), one.fitted.structure)]
            found.append(Candidates(one, rank, 0.0))
        seconds = (time.process_time() - began) / len(part)
        found[start:] = [Candidates(one.fit, one.rank, seconds) for one in found[start:]]
        if kept is not None and (number % _KEPT_EVERY == 0 or len(found) == len(scans)):
            _write(index, kept, found)
    return found[: len(scans)]


def likeness_of(network: Network, scans: list[Observed], fits: list[Fit], kept: Path | None = None) -> Array:
    """Return how alike the network sees each scan and its voting candidates (scan, candidate), NaN where not asked."""
    found = np.full((len(scans), CANDIDATES), np.nan)
    done = 0
    if kept is not None and kept.exists():
        before = np.load(kept)[: len(scans)]
        found[: len(before)], done = before, len(before)
    for k in range(done, len(scans)):
        one = compared(scans[k], [fits[k]], network)
        found[k, : len(one)] = one
        if kept is not None and (k % (_KEPT_EVERY * SCANS_AT_ONCE) == 0 or k == len(scans) - 1):
            np.save(kept, found[: k + 1])
    return found


def _read(index: Index, kept: Path) -> list[Candidates]:
    with np.load(kept) as data:
        arrays = {name: data[name] for name in data.files}
    if int(arrays["checksum"]) != _checksum(index):
        raise SystemExit(f"{kept}: expected candidates of this library, found those of another; delete the file")
    found = []
    for k, count in enumerate(arrays["count"].tolist()):
        fitted = Fitted(**{name: arrays[name][k, :count] for name in _FITTED})
        one = Fit(index, fitted, arrays["odds"][k, :count])
        found.append(Candidates(one, arrays["rank"][k, :count], float(arrays["seconds"][k])))
    return found


def _write(index: Index, kept: Path, found: list[Candidates]) -> None:
    count = np.array([len(one.rank) for one in found])

    def padded(values: list[NDArray[Any]]) -> NDArray[Any]:
        array = np.zeros((len(values), int(count.max(initial=0)), *values[0].shape[1:]), dtype=values[0].dtype)
        for k, part in enumerate(values):
            array[k, : len(part)] = part
        return array

    arrays: dict[str, Any] = {name: padded([getattr(one.fit.fitted, name) for one in found]) for name in _FITTED}
    arrays |= {"odds": padded([one.fit.odds for one in found]), "rank": padded([one.rank for one in found])}
    arrays |= {"seconds": np.array([one.seconds for one in found]), "count": count, "checksum": _checksum(index)}
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".part").open("wb") as file:
        np.savez_compressed(file, **arrays)
    kept.with_suffix(".part").replace(kept)


def _checksum(index: Index) -> int:
    """Return a number that tells libraries apart."""
    return zlib.crc32(np.ascontiguousarray(index.reciprocal).tobytes())
