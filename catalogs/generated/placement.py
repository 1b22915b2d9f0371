"""Placement of atoms on Wyckoff positions with minimum distances, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def place(
    lattice_A: Floats,
    to_reduced: Floats,
    rotations: Floats,
    translations: Floats,
    directions: Floats,
    origin: Floats,
    first_image: Ints,
    image_operators: Ints,
    orbit_position: Ints,
    orbit_kind: Ints,
    required_A: Floats,
    uniforms: Floats,
    n_tries: int,
) -> tuple[bool, Floats, Floats, Ints]:
    """Place an atom of each orbit; return success, the first atom of each orbit, all atoms of the cell, their kinds.

    `lattice_A` is a reduced primitive cell and `to_reduced` changes row vectors from the conventional to that cell;
    `required_A` is the shortest distance between atoms of two kinds. The first of `n_tries` points that keeps the
    distances is taken, else the orbit fails. First atoms have conventional coordinates, all atoms those of the reduced
    cell.
    """
    n_orbits = len(orbit_position)
    n_atoms = 0
    for o in range(n_orbits):
        n_atoms += first_image[orbit_position[o] + 1] - first_image[orbit_position[o]]
    chosen = np.zeros((n_orbits, 3))
    atoms = np.zeros((n_atoms, 3))
    kind = np.zeros(n_atoms, dtype=np.int64)
    filled, at = 0, 0
    for o in range(n_orbits):
        position = orbit_position[o]
        begin, end = first_image[position], first_image[position + 1]
        is_free = np.any(directions[position] != 0.0)
        placed = False
        for _ in range(n_tries if is_free else 1):
            if at + 3 > len(uniforms):
                return False, chosen, atoms, kind
            x = directions[position] @ uniforms[at : at + 3] + origin[position]
            at += 3
            for k in range(begin, end):
                image = rotations[image_operators[k]] @ x + translations[image_operators[k]]
                for j in range(3):
                    v = image[0] * to_reduced[0, j] + image[1] * to_reduced[1, j] + image[2] * to_reduced[2, j]
                    atoms[filled + k - begin, j] = v - np.floor(v)
                kind[filled + k - begin] = orbit_kind[o]
            if _keeps_distances(lattice_A, atoms, kind, filled, filled + end - begin, required_A):
                chosen[o] = x
                placed = True
                break
        if not placed:
            return False, chosen, atoms, kind
        filled += end - begin
    return True, chosen, atoms, kind


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _keeps_distances(lattice_A: Floats, atoms: Floats, kind: Ints, new: int, end: int, required_A: Floats) -> bool:
    """Return whether atom `new`, an image of all after it, keeps its distance from all atoms before `end`."""
    d = np.empty(3)
    for j in range(end):
        limit2 = required_A[kind[new], kind[j]] ** 2
        for k in range(3):
            d[k] = atoms[new, k] - atoms[j, k]
            d[k] -= np.rint(d[k])
        for a in range(-1, 2):
            for b in range(-1, 2):
                for c in range(-1, 2):
                    if j == new and a == 0 and b == 0 and c == 0:
                        continue
                    length2 = 0.0
                    for k in range(3):
                        x = (d[0] + a) * lattice_A[0, k] + (d[1] + b) * lattice_A[1, k] + (d[2] + c) * lattice_A[2, k]
                        length2 += x * x
                    if length2 < limit2:
                        return False
    return True
