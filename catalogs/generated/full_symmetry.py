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

from catalogs.generated.placement import plane_spacings
from catalogs.generated.reduction import determinant

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTH_TOLERANCE_A = 0.102
ANGLE_TOLERANCE_DEG = 5.1
SITE_TOLERANCE_A = 0.225

_NEAREST = np.array([v for v in itertools.product((-1, 0, 1), repeat=3) if any(v)], dtype=np.float64)
"""Vectors that a rotation of a lattice can make of those of its reduced cell."""
_MOST_ROTATIONS = 192
"""More than the 24 of a cubic lattice: within the tolerances, rotations of several lattices may be found."""
_DIGITS = np.array([[1, 3, 9], [27, 81, 243], [729, 2187, 6561]], dtype=np.float64)
_IDENTITY = float(np.trace(_DIGITS))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def has_more_symmetry(
    lattice_A: Floats,
    fractional: Floats,
    kind: Ints,
    known: Floats,
    length_tolerance_A: float,
    angle_tolerance_deg: float,
    site_tolerance_A: float,
) -> bool:
    """Return whether the crystal may have an operation beyond the known rotations.

    `lattice_A` is a reduced primitive cell, `kind` the species of each atom, `known` the group's rotations acting on
    fractional coordinates.
    """
    codes = np.empty(len(known))
    for k in range(len(known)):
        codes[k] = _code(known[k])
    rotations = np.empty((_MOST_ROTATIONS, 3, 3))
    n_rotations = lattice_rotations(lattice_A, length_tolerance_A, angle_tolerance_deg, rotations)
    spacing_A = plane_spacings(lattice_A)
    rarest = _rarest(kind)
    first = 0
    while kind[first] != rarest:
        first += 1
    r, translation = np.empty((3, 3)), np.empty(3)
    for c in range(2 * n_rotations):
        for i in range(3):
            for j in range(3):
                r[i, j] = rotations[c // 2, i, j] * (1.0 if c % 2 == 0 else -1.0)
        code = _code(r)
        is_identity = code == _IDENTITY
        if not is_identity and (codes == code).any():
            continue
        for j in range(len(kind)):
            if kind[j] != rarest or (is_identity and j == first):
                continue
            for k in range(3):
                translation[k] = fractional[j, k] - _image(r, fractional[first], k)
            if _maps_all(lattice_A, spacing_A, fractional, kind, r, translation, site_tolerance_A):
                return True
    return False


@numba.njit(cache=True, error_model="numpy", nogil=True)
def lattice_rotations(lattice_A: Floats, length_tolerance_A: float, angle_tolerance_deg: float, found: Floats) -> int:
    """Fill in the proper rotations that keep lengths and angles of a reduced cell within tolerances; return how many.

    They are matrices that act on fractional coordinates: column j is the image of vector j.
    """
    vectors = _NEAREST @ lattice_A
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    own = np.sqrt((lattice_A * lattice_A).sum(axis=1))
    least, most = np.empty((3, 3)), np.empty((3, 3))
    for i in range(3):
        for j in range(i):
            angle = np.arccos((lattice_A[i] * lattice_A[j]).sum() / (own[i] * own[j]))
            least[i, j] = np.cos(angle + np.radians(angle_tolerance_deg))
            most[i, j] = np.cos(angle - np.radians(angle_tolerance_deg))
    n, chosen, r = 0, np.empty(3, dtype=np.int64), np.empty((3, 3))
    for a in range(len(_NEAREST)):
        chosen[0] = a
        if not _fits(vectors, lengths, own, least, most, chosen, 0, length_tolerance_A):
            continue
        for b in range(len(_NEAREST)):
            chosen[1] = b
            if not _fits(vectors, lengths, own, least, most, chosen, 1, length_tolerance_A):
                continue
            for c in range(len(_NEAREST)):
                chosen[2] = c
                if not _fits(vectors, lengths, own, least, most, chosen, 2, length_tolerance_A):
                    continue
                for i in range(3):
                    for j in range(3):
                        r[i, j] = _NEAREST[chosen[j], i]
                if determinant(r) == 1.0 and n < len(found):
                    found[n] = r
                    n += 1
    return n


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fits(
    vectors: Floats, lengths: Floats, own: Floats, least: Floats, most: Floats, chosen: Ints, i: int, tolerance_A: float
) -> bool:
    """Return whether the image chosen of vector i keeps its length and the angles with those before it."""
    if abs(lengths[chosen[i]] - own[i]) > tolerance_A:
        return False
    for j in range(i):
        cosine = 0.0
        for k in range(3):
            cosine += vectors[chosen[i], k] * vectors[chosen[j], k]
        cosine /= lengths[chosen[i]] * lengths[chosen[j]]
        if cosine < least[i, j] or cosine > most[i, j]:
            return False
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _code(r: Floats) -> float:
    """Return a number that differs between matrices of -1, 0 and 1."""
    found = 0.0
    for i in range(3):
        for j in range(3):
            found += _DIGITS[i, j] * r[i, j]
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _image(r: Floats, x: Floats, k: int) -> float:
    return float(r[k, 0] * x[0] + r[k, 1] * x[1] + r[k, 2] * x[2])


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
def _maps_all(
    lattice_A: Floats,
    spacing_A: Floats,
    fractional: Floats,
    kind: Ints,
    r: Floats,
    translation: Floats,
    reach_A: float,
) -> bool:
    """Return whether an operation maps every atom onto one of its kind within a distance."""
    image, d = np.empty(3), np.empty(3)
    for i in range(len(kind)):
        for k in range(3):
            image[k] = _image(r, fractional[i], k) + translation[k]
        found = False
        for j in range(len(kind)):
            if kind[j] != kind[i]:
                continue
            is_near = True
            for k in range(3):
                d[k] = image[k] - fractional[j, k]
                d[k] -= np.rint(d[k])
                if abs(d[k]) * spacing_A[k] >= reach_A:  # lattice planes between the two are too far apart
                    is_near = False
                    break
            if not is_near:
                continue
            length2 = 0.0
            for k in range(3):
                x = d[0] * lattice_A[0, k] + d[1] * lattice_A[1, k] + d[2] * lattice_A[2, k]
                length2 += x * x
            if length2 < reach_A * reach_A:
                found = True
                break
        if not found:
            return False
    return True
