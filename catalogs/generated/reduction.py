"""Reduction of a lattice to three shortest vectors, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOLERANCE = 1e-9
"""Relative gain of a squared length below which a vector is not replaced."""


@numba.njit(cache=True, error_model="numpy", nogil=True)
def reduce_cell(lattice_A: Floats, change: Floats) -> Floats:
    """Return the reduced cell (Minkowski's reduction) and fill in the integer change of basis, of determinant +1."""
    cell = lattice_A.copy()
    for i in range(3):
        for j in range(3):
            change[i, j] = 1.0 if i == j else 0.0
    for _ in range(200):
        _sort(cell, change)
        g00, g11, g22 = _dot(cell, 0, 0), _dot(cell, 1, 1), _dot(cell, 2, 2)
        g01, g02, g12 = _dot(cell, 0, 1), _dot(cell, 0, 2), _dot(cell, 1, 2)
        m = np.rint(g01 / g00)
        if 2.0 * m * g01 - m * m * g00 > _TOLERANCE * g11:
            _subtract(cell, change, 1, m, 0.0)
            continue
        det = g00 * g11 - g01 * g01
        m0 = np.rint((g11 * g02 - g01 * g12) / det)
        n0 = np.rint((g00 * g12 - g01 * g02) / det)
        gain, best_m, best_n = 0.0, 0.0, 0.0
        for dm in range(-1, 2):
            for dn in range(-1, 2):
                m, n = m0 + dm, n0 + dn
                more = 2.0 * (m * g02 + n * g12) - (m * m * g00 + n * n * g11 + 2.0 * m * n * g01)
                if more > gain:
                    gain, best_m, best_n = more, m, n
        if gain <= _TOLERANCE * g22:
            break
        _subtract(cell, change, 2, best_m, best_n)
    if determinant(change) < 0.0:
        for i in range(3):
            for j in range(3):
                change[i, j] = -change[i, j]
                cell[i, j] = -cell[i, j]
    return cell


@numba.njit(cache=True, error_model="numpy", nogil=True)
def determinant(m: Floats) -> float:
    """Return the determinant of a 3x3 matrix."""
    return float(
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@numba.njit(cache=True, error_model="numpy", nogil=True)
def inverse(m: Floats) -> Floats:
    """Return the inverse of a 3x3 matrix."""
    found = np.empty((3, 3))
    det = determinant(m)
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        for j in range(3):
            c, d = (j + 1) % 3, (j + 2) % 3
            found[j, i] = (m[a, c] * m[b, d] - m[a, d] * m[b, c]) / det
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def product(a: Floats, b: Floats) -> Floats:
    """Return the product of two 3x3 matrices."""
    found = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            found[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _dot(cell: Floats, i: int, j: int) -> float:
    return float(cell[i, 0] * cell[j, 0] + cell[i, 1] * cell[j, 1] + cell[i, 2] * cell[j, 2])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _sort(cell: Floats, change: Floats) -> None:
    """Sort vectors by length."""
    for i in range(2):
        for j in range(2 - i):
            if _dot(cell, j, j) > _dot(cell, j + 1, j + 1) * (1.0 + _TOLERANCE):
                for k in range(3):
                    cell[j, k], cell[j + 1, k] = cell[j + 1, k], cell[j, k]
                    change[j, k], change[j + 1, k] = change[j + 1, k], change[j, k]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _subtract(cell: Floats, change: Floats, row: int, m: float, n: float) -> None:
    """Subtract m times the first and n times the second vector from a later one."""
    for k in range(3):
        cell[row, k] -= m * cell[0, k] + (n * cell[1, k] if row == 2 else 0.0)
        change[row, k] -= m * change[0, k] + (n * change[1, k] if row == 2 else 0.0)
