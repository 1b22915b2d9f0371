"""The Niggli cell of a lattice from its shortest vectors.

Of the cells with the shortest possible edges the Niggli cell is the one whose angles differ most from 90 degrees, all
of them below it or none (Gruber, Acta Cryst. A29, 433, 1973).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FARTHEST = 4
"""Largest index of a short vector in terms of the given ones."""
FIRST = 64
"""Vectors that are looked at, the shortest: no more than 40 of all are in one plane."""
EQUAL = 1e-6
"""Relative difference of lengths that count as equal."""
_VECTORS = np.array([v for v in product(range(-FARTHEST, FARTHEST + 1), repeat=3) if v > (0, 0, 0)], dtype=np.float64)


def niggli_of(metric: Array) -> Array:
    """Return the Niggli cell, A and degrees, of the metric (3, 3) of a primitive cell."""
    length = np.sqrt(np.einsum("ni,ij,nj->n", _VECTORS, metric, _VECTORS))
    order = np.argsort(length, kind="stable")[:FIRST]
    vectors, length = _VECTORS[order], length[order]
    short = vectors[: _shortest(vectors, length)]
    edge = length[: len(short)]
    best, most = None, -1.0
    first = np.flatnonzero(edge <= edge[0] * (1 + EQUAL))
    for a in first.tolist():
        apart = (short @ _across(short[a]) != 0).any(axis=1)
        second = np.flatnonzero(apart & (edge <= edge[apart].min() * (1 + EQUAL)))
        for b in second.tolist():
            volume = np.abs(short @ (short[b] @ _across(short[a])))
            third = np.flatnonzero((volume == 1) & (edge <= edge[volume == 1].min() * (1 + EQUAL)))
            for c in third.tolist():
                angles = _angles(short[[a, b, c]], metric)
                away = float(np.abs(angles - 90).sum())
                if away > most + 1e-6:
                    best, most = np.concatenate([edge[[a, b, c]], angles]), away
    assert best is not None, "three of the vectors span the lattice"
    return best


def _shortest(vectors: Array, length: Array) -> int:
    """Return how many vectors, in the order of their lengths, hold all cells with the shortest edges."""
    a = vectors[0]
    b = vectors[int((vectors @ _across(a) != 0).any(axis=1).argmax())]
    c = int((np.abs(vectors @ (b @ _across(a))) == 1).argmax())
    return int(np.searchsorted(length, length[c] * (1 + EQUAL), side="right"))


def _across(a: Array) -> Array:
    """Return the matrix that takes rows v to the cross products a x v; `np.cross` takes ten times as long."""
    x, y, z = a.tolist()
    return np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])


def _angles(basis: Array, metric: Array) -> Array:
    """Return the angles between vectors, with the signs that make all acute or none."""
    g = basis @ metric @ basis.T
    cosine = np.array([g[1, 2], g[0, 2], g[0, 1]]) / np.sqrt(
        np.array([g[1, 1] * g[2, 2], g[0, 0] * g[2, 2], g[0, 0] * g[1, 1]])
    )
    size = np.where(np.abs(cosine) < EQUAL, 0.0, np.abs(cosine))
    acute = bool(np.prod(np.where(size > 0, np.sign(cosine), 0.0)) > 0)
    return np.asarray(np.degrees(np.arccos((size if acute else -size).clip(-1.0, 1.0))))
