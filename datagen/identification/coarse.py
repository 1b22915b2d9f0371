"""First search: clean patterns, over sizes of the crystal, that resemble the scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.identification.axis import N_BINS, STEP, Observed
from datagen.identification.index import Index

LARGEST_SHIFT = 26
"""In pairs of bins: sizes of the crystal from 0.93 to 1.07."""
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Coarse:
    """Candidates of one scan, best first."""

    structure: NDArray[np.int64]
    cosine: NDArray[np.float64]
    shift: NDArray[np.float64]
    """Added to ln q of the structure's lines."""


def search(index: Index, scans: list[Observed], most: int, allowed: NDArray[np.bool_] | None = None) -> list[Coarse]:
    """Return the `most` best candidates of each scan among the allowed structures.

    Several scans at once share the conversion of the patterns, which costs more than the products of one scan.
    """
    shifts = np.arange(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    queries, masks = zip(*(_moved(scan, shifts) for scan in scans), strict=True)
    query = np.concatenate(queries).T.copy()
    is_partial = any(scan.covered < 0.9 for scan in scans)
    mask = np.concatenate(masks).T.copy() if is_partial else None
    best = np.full((len(index), len(scans)), -1.0, dtype=np.float32)
    where = np.zeros((len(index), len(scans)), dtype=np.int16)
    for start in range(0, len(index), _ROWS_AT_ONCE):
        part = index.pattern[start : start + _ROWS_AT_ONCE].astype(np.float32)
        if mask is None:
            part /= np.linalg.norm(part, axis=1, keepdims=True)
            cosine = part @ query
        else:
            # Lines where nothing was measured do not count against a structure, as long as most of it was measured.
            norm = np.sqrt(part**2 @ mask)
            cosine = part @ query / np.maximum(norm, 0.3 * np.linalg.norm(part, axis=1, keepdims=True))
        cosine = cosine.reshape(len(part), len(scans), len(shifts))
        where[start : start + len(part)] = cosine.argmax(axis=2)
        best[start : start + len(part)] = cosine.max(axis=2)
    if allowed is not None:
        best[~allowed] = -1.0
    found = []
    for k in range(len(scans)):
        most_here = min(most, int((best[:, k] > 0).sum()))
        top = np.argpartition(-best[:, k], most_here - 1)[:most_here] if most_here else np.zeros(0, np.int64)
        top = top[np.argsort(-best[top, k], kind="stable")].astype(np.int64)
        shift = -2 * STEP * shifts[where[top, k]].astype(np.float64)
        found.append(Coarse(top, best[top, k].astype(np.float64), shift))
    return found


def _moved(scan: Observed, shifts: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scan moved by each shift in pairs of bins, of norm 1, and what was measured of it."""
    pairs = N_BINS // 2
    compared = scan.compared()
    values = 0.5 * (compared[0::2] + compared[1::2])
    measured = (scan.measured[0::2] & scan.measured[1::2]).astype(np.float32)
    queries, masks = (np.zeros((len(shifts), pairs), dtype=np.float32) for _ in range(2))
    for i, shift in enumerate(shifts.tolist()):
        source = slice(max(-shift, 0), pairs - max(shift, 0))
        target = slice(max(shift, 0), pairs - max(-shift, 0))
        queries[i, target], masks[i, target] = values[source], measured[source]
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    return queries / np.maximum(norms, 1e-6), masks
