"""Search for symmetry beyond a space group, compiled.

A crystal has more symmetry if a rotation of its lattice that is not in the group, or a translation shorter than the
primitive cell's, maps every atom near one of its kind. Tolerances are those at which curation still looks for symmetry,
so that a crystal without more symmetry here has the same space group at every tolerance there.
"""

from __future__ import annotations

import itertools

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTH_TOLERANCE_A = 0.102
ANGLE_TOLERANCE_DEG = 5.1
SITE_TOLERANCE_A = 0.225


def _finite_rotations() -> Floats:
    """Return the rotations that reduced cells can have: entries -1, 0, 1, determinant 1, a power 12 of 1."""
    entries = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    proper = entries[np.rint(np.linalg.det(entries)) == 1]
    identity = np.eye(3, dtype=np.int64)
    found = proper[(np.linalg.matrix_power(proper, 12) == identity).all(axis=(1, 2))]
    return np.asarray(found, dtype=np.float64)


ROTATIONS = _finite_rotations()


@numba.njit(cache=True, error_model="numpy", nogil=True)
def reduce_cell(lattice_A: Floats) -> Floats:
    """Return the integer change of basis to three shortest vectors (Minkowski's reduction), determinant +1."""
    change = np.eye(3)
    cell = lattice_A.copy()
    for _ in range(200):
        for i in range(2):  # sort by length
            for j in range(2 - i):
                if cell[j] @ cell[j] > cell[j + 1] @ cell[j + 1] * (1.0 + 1e-9):
                    for k in range(3):
                        cell[j, k], cell[j + 1, k] = cell[j + 1, k], cell[j, k]
                        change[j, k], change[j + 1, k] = change[j + 1, k], change[j, k]
        best, m_best, n_best, longest = 0.0, 0.0, 0.0, 2
        m = np.rint((cell[0] @ cell[1]) / (cell[0] @ cell[0]))
        if m != 0.0:
            shorter = cell[1] - m * cell[0]
            gain = cell[1] @ cell[1] - shorter @ shorter
            if gain > 1e-9 * (cell[1] @ cell[1]):
                best, m_best, longest = gain, m, 1
        if longest == 2:
            g00, g01, g11 = cell[0] @ cell[0], cell[0] @ cell[1], cell[1] @ cell[1]
            g02, g12 = cell[0] @ cell[2], cell[1] @ cell[2]
            det = g00 * g11 - g01 * g01
            m0 = np.rint((g11 * g02 - g01 * g12) / det)
            n0 = np.rint((g00 * g12 - g01 * g02) / det)
            for dm in range(-1, 2):
                for dn in range(-1, 2):
                    shorter = cell[2] - (m0 + dm) * cell[0] - (n0 + dn) * cell[1]
                    gain = cell[2] @ cell[2] - shorter @ shorter
                    if gain > best and gain > 1e-9 * (cell[2] @ cell[2]):
                        best, m_best, n_best = gain, m0 + dm, n0 + dn
        if best == 0.0:
            break
        if longest == 1:
            cell[1] -= m_best * cell[0]
            change[1] -= m_best * change[0]
        else:
            cell[2] -= m_best * cell[0] + n_best * cell[1]
            change[2] -= m_best * change[0] + n_best * change[1]
    if np.linalg.det(change) < 0:
        change = -change
    return change


@numba.njit(cache=True, error_model="numpy", nogil=True)
def has_more_symmetry(
    lattice_A: Floats, fractional: Floats, kind: Ints, known: Floats, candidates: Floats, tolerances: Floats
) -> bool:
    """Return whether the crystal may have an operation beyond the known rotations.

    `lattice_A` is a reduced primitive cell, `kind` the species of each atom, `known` the group's rotations acting on
    fractional coordinates, `candidates` the proper rotations to try, each also with inversion; `tolerances` are of
    lengths (A), angles (degrees) and sites (A).
    """
    g = lattice_A @ lattice_A.T
    old = np.sqrt(np.diag(g))
    rarest = _rarest(kind)
    first = 0
    while kind[first] != rarest:
        first += 1
    for c in range(len(candidates)):
        if not _keeps_cell(candidates[c], g, old, tolerances[0], tolerances[1]):
            continue
        for sign in (1.0, -1.0):
            r = sign * candidates[c]
            is_identity = sign > 0 and r[0, 0] == 1 and r[1, 1] == 1 and r[2, 2] == 1
            if not is_identity and _is_among(r, known):
                continue
            image = r @ fractional[first]
            for j in range(len(kind)):
                if kind[j] != rarest or (is_identity and j == first):
                    continue
                if _maps_all(lattice_A, fractional, kind, r, fractional[j] - image, tolerances[2] ** 2):
                    return True
    return False


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _rarest(kind: Ints) -> int:
    """Return the kind with the fewest atoms."""
    counts = np.zeros(kind.max() + 1, dtype=np.int64)
    for k in kind:
        counts[k] += 1
    best = -1
    for k in range(len(counts)):
        if counts[k] > 0 and (best < 0 or counts[k] < counts[best]):
            best = k
    return best


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _keeps_cell(r: Floats, g: Floats, old: Floats, length_A: float, angle_deg: float) -> bool:
    """Return whether a rotation changes no length and no angle of the cell by more than the tolerances."""
    image = r.T @ g @ r
    for i in range(3):
        if image[i, i] <= 0.0 or abs(np.sqrt(image[i, i]) - old[i]) > length_A:
            return False
    for i in range(3):
        for j in range(i):
            before = g[i, j] / (old[i] * old[j])
            after = image[i, j] / np.sqrt(image[i, i] * image[j, j])
            before, after = min(1.0, max(-1.0, before)), min(1.0, max(-1.0, after))
            if abs(np.degrees(np.arccos(after) - np.arccos(before))) > angle_deg:
                return False
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _is_among(r: Floats, known: Floats) -> bool:
    for k in range(len(known)):
        same = True
        for i in range(3):
            for j in range(3):
                same = same and known[k, i, j] == r[i, j]
        if same:
            return True
    return False


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _maps_all(lattice_A: Floats, fractional: Floats, kind: Ints, r: Floats, translation: Floats, reach2: float) -> bool:
    """Return whether an operation maps every atom onto one of its kind within a distance."""
    d = np.empty(3)
    for i in range(len(kind)):
        image = r @ fractional[i] + translation
        found = False
        for j in range(len(kind)):
            if kind[j] != kind[i]:
                continue
            for k in range(3):
                d[k] = image[k] - fractional[j, k]
                d[k] -= np.rint(d[k])
            length2 = 0.0
            for k in range(3):
                x = d[0] * lattice_A[0, k] + d[1] * lattice_A[1, k] + d[2] * lattice_A[2, k]
                length2 += x * x
            if length2 < reach2:
                found = True
                break
        if not found:
            return False
    return True
