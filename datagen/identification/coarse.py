"""First search: clean patterns, over sizes of the crystal, that resemble the scan.

All structures are compared on few bins first, the best of them on all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.identification.axis import Observed
from datagen.identification.index import Index
from trainer.simulate.axis import LN_Q_STEP as STEP

LARGEST_SHIFT = 26
"""In pairs of bins: sizes of the crystal from 0.93 to 1.07."""
KEPT, KEPT_SHARE = 1500, 0.005
"""Structures that are compared on all bins after the first look: this number, and this share of the library more."""
_ROWS_AT_ONCE = 4096
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Coarse:
    """Candidates of one scan, best first."""

    structure: NDArray[np.int64]
    cosine: NDArray[np.float64]
    shift: NDArray[np.float64]
    """Added to ln q of the structure's lines."""


@dataclass(frozen=True, eq=False)
class _Moved:
    """Scans at each shift: what their patterns are multiplied with."""

    query: Floats
    """(place, scan and shift)."""
    mask: Floats | None
    """What was measured; None where that is nearly all of the axis for every scan."""
    n_scans: int

    def cosines(self, pattern: NDArray[np.uint8]) -> Floats:
        """Return the cosines of patterns (structure, place) with each scan at each shift."""
        part = pattern.astype(np.float32)
        if self.mask is None:
            part /= np.linalg.norm(part, axis=1, keepdims=True).clip(min=1e-6)
            cosine = part @ self.query
        else:
            # Lines where nothing was measured do not count against a structure, as long as most of it was measured.
            norm = np.sqrt(part**2 @ self.mask)
            least = 0.3 * np.linalg.norm(part, axis=1, keepdims=True)
            cosine = part @ self.query / np.maximum(np.maximum(norm, least), 1e-6)
        return np.asarray(
            cosine.reshape(len(part), self.n_scans, self.query.shape[1] // self.n_scans), dtype=np.float32
        )


def search(index: Index, scans: list[Observed], most: int, allowed: NDArray[np.bool_] | None = None) -> list[Coarse]:
    """Return the `most` best candidates of each scan among the allowed structures.

    Several scans at once share the conversion of the patterns, which costs more than the products of one scan.
    """
    look = _moved(scans, 4, LARGEST_SHIFT // 2)
    rough = np.empty((len(index), len(scans)), dtype=np.float32)
    for start in range(0, len(index), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rough[part] = look.cosines(index.rough[part]).max(axis=2)
    index.release("rough")
    if allowed is not None:
        rough[~allowed] = -1.0
    kept = max(KEPT + int(KEPT_SHARE * len(index)), most)
    found = [_closer(index, scan, _best(rough[:, k], kept), most) for k, scan in enumerate(scans)]
    index.release("pattern", "hkl", "intensity")  # the latter two by the fits of the scans before
    return found


def _closer(index: Index, scan: Observed, structures: NDArray[np.int64], most: int) -> Coarse:
    """Compare some structures on all bins."""
    found = _moved([scan], 2, LARGEST_SHIFT).cosines(index.pattern[np.sort(structures)])[:, 0]
    cosine = found.max(axis=1, initial=-1.0)
    top = _best(cosine, most)
    shift = -2 * STEP * (found.argmax(axis=1)[top] - LARGEST_SHIFT).astype(np.float64)
    return Coarse(np.sort(structures)[top], cosine[top].astype(np.float64), shift)


def _best(cosine: Floats, most: int) -> NDArray[np.int64]:
    """Return the places of the highest positive values, highest first."""
    positive = min(most, int((cosine > 0).sum()))
    top = np.argpartition(-cosine, positive - 1)[:positive] if positive else np.zeros(0, np.int64)
    return np.asarray(top[np.argsort(-cosine[top], kind="stable")], dtype=np.int64)


def _moved(scans: list[Observed], width: int, largest: int) -> _Moved:
    """Return scans on places of `width` bins, moved by each shift up to `largest` places, of norm 1."""
    shifts = np.arange(-largest, largest + 1)
    queries, masks = zip(*(_moved_scan(scan, width, shifts) for scan in scans), strict=True)
    is_partial = any(scan.covered < 0.9 for scan in scans)
    return _Moved(np.concatenate(queries).T.copy(), np.concatenate(masks).T.copy() if is_partial else None, len(scans))


def _moved_scan(scan: Observed, width: int, shifts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    values = np.asarray(scan.compared().reshape(-1, width).mean(axis=1), dtype=np.float32)
    measured = np.asarray(scan.measured.reshape(-1, width).all(axis=1), dtype=np.float32)
    places = len(values)
    queries, masks = (np.zeros((len(shifts), places), dtype=np.float32) for _ in range(2))
    for i, shift in enumerate(shifts.tolist()):
        source = slice(max(-shift, 0), places - max(shift, 0))
        target = slice(max(shift, 0), places - max(-shift, 0))
        queries[i, target], masks[i, target] = values[source], measured[source]
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    return queries / np.maximum(norms, 1e-6), masks
