"""Placement of atoms on Wyckoff positions with minimum distances, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from catalogs.generated.draws import Stream, uniform
from catalogs.generated.tables import GroupTables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_POINTS = 40
"""Points tried for each orbit."""
DIGITS = 1e6
"""Free parameters are multiples of the inverse, so that they can be written exactly."""


@numba.njit(cache=True, error_model="numpy", nogil=True)
def place(
    reduced_A: Floats,
    to_reduced: Floats,
    g: GroupTables,
    position: Ints,
    kind: Ints,
    required_A: Floats,
    s: Stream,
    first: Floats,
    atoms: Floats,
    atom_kind: Ints,
) -> bool:
    """Place an atom of each orbit and all its images; return whether all distances are kept.

    `reduced_A` is a reduced primitive cell and `to_reduced` changes row vectors from the conventional to that cell;
    `required_A` is the shortest distance between atoms of two kinds. The first of `N_POINTS` points that keeps the
    distances is taken, else the orbit fails. `first`, the first atom of each orbit, has conventional coordinates;
    `atoms`, all of them, those of the reduced cell.
    """
    spacing_A = plane_spacings(reduced_A)
    point, image = np.empty(3), np.empty(3)
    filled = 0
    for o in range(len(position)):
        p = position[o]
        begin = g.first_image[p]
        n = g.first_image[p + 1] - begin
        if not _keeps_shifts(reduced_A, required_A[kind[o], kind[o]]):
            return False
        placed = False
        for _ in range(N_POINTS if g.n_free[p] > 0 else 1):
            _draw_point(g, p, s, point)
            _to_reduced(point, to_reduced, atoms[filled])
            atom_kind[filled] = kind[o]
            if not _keeps_distances(reduced_A, spacing_A, atoms, atom_kind, filled, 0, filled, required_A):
                continue
            placed = True
            for k in range(1, n):
                _apply(g, g.image_operators[begin + k], point, image)
                _to_reduced(image, to_reduced, atoms[filled + k])
                atom_kind[filled + k] = kind[o]
                if not _keeps_distances(
                    reduced_A, spacing_A, atoms, atom_kind, filled, filled + k, filled + k + 1, required_A
                ):
                    placed = False
                    break
            if placed:
                break
        if not placed:
            return False
        for j in range(3):
            first[o, j] = point[j]
        filled += n
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def plane_spacings(lattice_A: Floats) -> Floats:
    """Return the distance of the lattice planes that each vector steps over, in A."""
    found = np.empty(3)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        area2, volume = 0.0, 0.0
        for x in range(3):
            y, z = (x + 1) % 3, (x + 2) % 3
            cross = lattice_A[j, y] * lattice_A[k, z] - lattice_A[j, z] * lattice_A[k, y]
            area2 += cross * cross
            volume += lattice_A[i, x] * cross
        found[i] = abs(volume) / np.sqrt(area2)
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _draw_point(g: GroupTables, p: int, s: Stream, point: Floats) -> None:
    """Draw a point of a Wyckoff position."""
    for i in range(3):
        point[i] = g.origin[p, i]
    if g.n_free[p] > 0:
        for j in range(3):
            u = np.rint(uniform(s) * DIGITS) / DIGITS
            for i in range(3):
                point[i] += g.directions[p, i, j] * u


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _apply(g: GroupTables, operator: int, point: Floats, image: Floats) -> None:
    r, t = g.rotations[operator], g.translations[operator]
    for i in range(3):
        image[i] = r[i, 0] * point[0] + r[i, 1] * point[1] + r[i, 2] * point[2] + t[i]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _to_reduced(point: Floats, to_reduced: Floats, atom: Floats) -> None:
    for j in range(3):
        v = point[0] * to_reduced[0, j] + point[1] * to_reduced[1, j] + point[2] * to_reduced[2, j]
        atom[j] = v - np.floor(v)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _keeps_shifts(lattice_A: Floats, required_A: float) -> bool:
    """Return whether an atom keeps its distance from its images in other cells; the first vector is the shortest."""
    length2 = 0.0
    for x in range(3):
        length2 += lattice_A[0, x] ** 2
    return length2 >= required_A * required_A


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _keeps_distances(
    lattice_A: Floats, spacing_A: Floats, atoms: Floats, kind: Ints, new: int, start: int, end: int, required_A: Floats
) -> bool:
    """Return whether atom `new` keeps its distance from all images of others; coordinates are from 0 to 1."""
    for j in range(start, end):
        limit = required_A[kind[new], kind[j]]
        u = atoms[new, 0] - atoms[j, 0]
        u -= np.rint(u)
        v = atoms[new, 1] - atoms[j, 1]
        v -= np.rint(v)
        w = atoms[new, 2] - atoms[j, 2]
        w -= np.rint(w)
        # Planes between two points that are farther apart than the limit spare the sum of squares.
        for a in range(-1, 2):
            if abs(u + a) * spacing_A[0] >= limit:
                continue
            for b in range(-1, 2):
                if abs(v + b) * spacing_A[1] >= limit:
                    continue
                for c in range(-1, 2):
                    if abs(w + c) * spacing_A[2] >= limit:
                        continue
                    length2 = 0.0
                    for k in range(3):
                        x = (u + a) * lattice_A[0, k] + (v + b) * lattice_A[1, k] + (w + c) * lattice_A[2, k]
                        length2 += x * x
                    if length2 < limit * limit:
                        return False
    return True
