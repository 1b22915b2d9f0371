"""Niggli reduction of a lattice from its metric, as an integer change of basis.

The steps are those of Krivy & Gruber (Acta Cryst. A32, 297, 1976), with comparisons under a tolerance as in
Grosse-Kunstleve, Sauter & Adams (Acta Cryst. A60, 1, 2004): without it rounding lets the loop cycle on symmetric
lattices. No single tolerance is safe, since the rounding of a metric can be just as large: then one comparison takes
two entries for equal and another does not. A cycle is therefore tried again under other tolerances.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Metric = tuple[float, float, float, float, float, float]
"""a.a, b.b, c.c, b.c, a.c, a.b in A^2."""
IntMatrix = list[list[int]]

EPSILON = 1e-7
"""Differences of metric entries below this fraction of V^(2/3) count as equality."""
NIGGLI_TOLERANCE = 1e-6
"""Largest deviation of a reduced cell: determinant and volume from 1, metric entries when reduced again."""
OTHER_EPSILONS = (10.0, 100.0, 0.01)
"""Factors of the tolerance, tried in turn if the reduction cycles."""
MAX_STEPS = 1000


def metric_of(lattice_A: Array) -> Metric:
    """Return the six dot products of a cell with rows a, b, c."""
    g = lattice_A @ lattice_A.T
    return tuple(float(v) for v in (g[0, 0], g[1, 1], g[2, 2], g[1, 2], g[0, 2], g[0, 1]))  # type: ignore[return-value]


def reduce_metric(metric: Metric, epsilon: float = EPSILON) -> NDArray[np.int64]:
    """Return the reduced vectors as rows in terms of the given ones; the determinant is +1.

    Raise ArithmeticError if the metric has no volume or the reduction cycles under every tolerance.
    """
    for factor in (1.0, *OTHER_EPSILONS):
        found = _reduce(metric, factor * epsilon)
        if found is not None:
            return found
    raise ArithmeticError(f"no reduced cell after {MAX_STEPS} steps under any of {1 + len(OTHER_EPSILONS)} tolerances")


def _reduce(metric: Metric, epsilon: float) -> NDArray[np.int64] | None:
    """Return the reduction under one tolerance, or None if it cycles."""
    a, b, c = metric[:3]
    d, e, f = (2.0 * v for v in metric[3:])
    volume2 = a * b * c + d * e * f / 4 - (a * d * d + b * e * e + c * f * f) / 4
    if not volume2 > 0:
        raise ArithmeticError("the metric encloses no volume")
    eps = epsilon * math.cbrt(volume2)
    rows: IntMatrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    for _ in range(MAX_STEPS):
        if a > b + eps or (abs(a - b) <= eps and abs(d) > abs(e) + eps):  # A1
            a, b, d, e = b, a, e, d
            rows = [_times(rows[1], -1), _times(rows[0], -1), _times(rows[2], -1)]
        if b > c + eps or (abs(b - c) <= eps and abs(e) > abs(f) + eps):  # A2, then A1 again
            b, c, e, f = c, b, f, e
            rows = [_times(rows[0], -1), _times(rows[2], -1), _times(rows[1], -1)]
            continue
        i, j, k = _signs(d, e, f, eps)  # A3, A4
        rows = [_times(rows[0], i), _times(rows[1], j), _times(rows[2], k)]
        d, e, f = d * j * k, e * i * k, f * i * j
        if abs(d) > b + eps or (abs(d - b) <= eps and 2 * e < f - eps) or (abs(d + b) <= eps and f < -eps):  # A5
            s = -1 if d > 0 else 1
            rows[2] = _plus(rows[2], rows[1], s)
            c, d, e = b + c + s * d, d + 2 * s * b, e + s * f
        elif abs(e) > a + eps or (abs(e - a) <= eps and 2 * d < f - eps) or (abs(e + a) <= eps and f < -eps):  # A6
            s = -1 if e > 0 else 1
            rows[2] = _plus(rows[2], rows[0], s)
            c, d, e = a + c + s * e, d + s * f, e + 2 * s * a
        elif abs(f) > a + eps or (abs(f - a) <= eps and 2 * d < e - eps) or (abs(f + a) <= eps and e < -eps):  # A7
            s = -1 if f > 0 else 1
            rows[1] = _plus(rows[1], rows[0], s)
            b, d, f = a + b + s * f, d + s * e, f + 2 * s * a
        elif (total := d + e + f + a + b) < -eps or (abs(total) <= eps and 2 * (a + e) + f > eps):  # A8
            rows[2] = _plus(_plus(rows[2], rows[0], 1), rows[1], 1)
            c, d, e = a + b + c + d + e + f, 2 * b + d + f, 2 * a + e + f
        else:
            return np.array(rows, dtype=np.int64)
    return None


def _signs(d: float, e: float, f: float, eps: float) -> tuple[int, int, int]:
    """Return signs of the vectors, their product +1, that make all three dot products positive, or none."""
    positive = sum(v > eps for v in (d, e, f))
    zero = sum(abs(v) <= eps for v in (d, e, f))
    negative = 3 - positive - zero
    if zero == 0 and negative % 2 == 0:  # type I: make all positive
        i, j, k = (-1 if v < -eps else 1 for v in (d, e, f))
        return i, j, k
    i, j, k = (-1 if v > eps else 1 for v in (d, e, f))
    if i * j * k < 0:  # a vanishing dot product leaves one sign free
        if abs(d) <= eps:
            i = -i
        elif abs(e) <= eps:
            j = -j
        else:
            k = -k
    return i, j, k


def _times(row: list[int], s: int) -> list[int]:
    return [s * v for v in row]


def _plus(row: list[int], other: list[int], s: int) -> list[int]:
    return [v + s * w for v, w in zip(row, other, strict=True)]
