"""Reflections of a crystal, whatever the instrument: one of each family of equivalent ones, with its multiplicity.

Families follow from the crystal alone: a rotation of the lattice is a symmetry if |F|^2 of all reflections agrees under
it. No space group is looked up, so that no setting can be mistaken. A crystal whose atoms break a symmetry of its
lattice has larger groups of reflections of equal d; each family of them has an entry of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from curation.crystal import Crystal
from curation.reflections import ABSENT, MERGE_TOLERANCE, half_sphere
from datagen.simulate.instrument import Instrument
from datagen.simulate.scattering import scattering_table, squared_amplitudes

Array = NDArray[np.float64]

MOST_ROTATIONS = 24
"""Of a crystal: proper ones of the cubic holohedry."""
EQUAL, EQUAL_TO_STRONGEST = 2e-4, 1e-5
"""|F|^2 of equivalent reflections differs at most by the first fraction of itself plus the second of the strongest:
coordinates are rounded to 1e-7 of an edge, and published ones to some 1e-5."""
BEYOND = 2e-5
"""Reflections are enumerated this fraction beyond d_min, so that no family at the edge is incomplete."""


@dataclass(frozen=True, eq=False)
class Reflections:
    """Families of equivalent reflections in descending d."""

    d_A: Array
    f2: Array
    """Multiplicity times |F|^2, e^2, both Friedel mates counted; no Lorentz and no polarisation factor."""
    f2_lines: Array
    """(reflection, line): the same with the dispersion of further wavelengths."""
    hkl: NDArray[np.int32]
    """(reflection, 3): one of each family, indices of the crystal's own cell."""
    rotations: NDArray[np.int8]
    """(rotation, 3, 3): the family of hkl is rotations @ hkl and its Friedel mates; the identity comes first."""

    def __len__(self) -> int:
        return int(self.d_A.size)


def crystal_reflections(crystal: Crystal, d_min_A: float, wavelengths_A: Sequence[float]) -> Reflections:
    """Return all reflections with d >= d_min; the wavelengths are those of the dispersion terms, the main one first."""
    hkl, q2 = half_sphere(crystal.lattice_A, 0.0, (1.0 + BEYOND) / d_min_A)
    if not len(q2):
        identity = np.eye(3, dtype=np.int8)[None]
        none = np.zeros((0, len(wavelengths_A) - 1))
        return Reflections(np.zeros(0), np.zeros(0), none, np.zeros((0, 3), np.int32), identity)
    f2 = np.empty((len(q2), len(wavelengths_A)))
    for number, wavelength in enumerate(wavelengths_A):
        f2[:, number] = squared_amplitudes(crystal, hkl, q2, scattering_table(crystal.species, wavelength))
    order = np.argsort(q2, kind="stable")
    hkl, q, f2 = hkl[order], np.sqrt(q2[order]), f2[order]
    rotations = _closed(_symmetries(hkl, f2[:, 0].copy(), lattice_rotations(crystal.lattice_A)))
    family, q_family, total = _families(hkl, q, f2, rotations)
    kept = np.flatnonzero((total[:, 0] > ABSENT * total[:, 0].max()) & (q_family * d_min_A <= 1.0))
    kept = kept[np.argsort(q_family[kept], kind="stable")]
    total = 2.0 * total[kept]
    return Reflections(1.0 / q_family[kept], total[:, 0], total[:, 1:], family[kept], rotations.astype(np.int8))


def point_group(crystal: Crystal, instrument: Instrument) -> NDArray[np.int8]:
    """Return the proper rotations of the point group, (rotation, 3, 3), as matrices on hkl."""
    return crystal_reflections(crystal, instrument.d_min_A, [instrument.lines[0].wavelength_A]).rotations


def lattice_rotations(lattice_A: Array) -> NDArray[np.int64]:
    """Return the proper rotations of a reduced lattice as integer matrices, the identity first.

    Their elements are -1, 0 and 1 in a reduced basis. Row i is the image of cell vector i; applied to a column hkl, the
    matrix gives an equivalent reflection.
    """
    lattice = np.ascontiguousarray(lattice_A, dtype=np.float64)
    found = np.empty((64, 3, 3), np.int64)
    return found[: _lattice_rotations(lattice @ lattice.T, 2.0 * MERGE_TOLERANCE, found)]


@compiled
def _lattice_rotations(metric: Array, tolerance: float, out: NDArray[np.int64]) -> int:
    vectors = np.empty((27, 3), np.int64)
    for number in range(27):
        vectors[number, 0] = number // 9 - 1
        vectors[number, 1] = number // 3 % 3 - 1
        vectors[number, 2] = number % 3 - 1
    product = np.zeros((27, 27))
    for a in range(27):
        for b in range(27):
            for i in range(3):
                for j in range(3):
                    product[a, b] += vectors[a, i] * metric[i, j] * vectors[b, j]
    edge = np.sqrt(np.diag(metric))
    out[0] = np.eye(3, dtype=np.int64)
    n = 1
    for a in range(27):
        if abs(product[a, a] - metric[0, 0]) > tolerance * metric[0, 0]:
            continue
        for b in range(27):
            if abs(product[b, b] - metric[1, 1]) > tolerance * metric[1, 1]:
                continue
            if abs(product[a, b] - metric[0, 1]) > tolerance * edge[0] * edge[1]:
                continue
            for c in range(27):
                if abs(product[c, c] - metric[2, 2]) > tolerance * metric[2, 2]:
                    continue
                if abs(product[a, c] - metric[0, 2]) > tolerance * edge[0] * edge[2]:
                    continue
                if abs(product[b, c] - metric[1, 2]) > tolerance * edge[1] * edge[2]:
                    continue
                u, v, w = vectors[a], vectors[b], vectors[c]
                determinant = (
                    u[0] * (v[1] * w[2] - v[2] * w[1])
                    - u[1] * (v[0] * w[2] - v[2] * w[0])
                    + u[2] * (v[0] * w[1] - v[1] * w[0])
                )
                identity = u[0] == 1 and v[1] == 1 and w[2] == 1 and u[1] == 0 and u[2] == 0
                identity = identity and v[0] == 0 and v[2] == 0 and w[0] == 0 and w[1] == 0
                if determinant == 1 and not identity and n < out.shape[0]:
                    out[n, 0], out[n, 1], out[n, 2] = u, v, w
                    n += 1
    return n


def _symmetries(hkl: NDArray[np.int32], f2: Array, rotations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rotations under which |F|^2 of all reflections agrees."""
    low, place = _places(hkl)
    agrees = _agreeing(hkl, f2, rotations, low, place, EQUAL, EQUAL_TO_STRONGEST * float(f2.max()))
    return np.asarray(rotations[agrees])


def _closed(rotations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rotations if they are a group, else the identity alone: tolerances may cut through one."""
    if len(rotations) == 1:
        return rotations
    return rotations if len(rotations) <= MOST_ROTATIONS and _is_closed(rotations) else rotations[:1]


@compiled
def _is_closed(rotations: NDArray[np.int64]) -> bool:
    """Return whether the product of any two of the matrices is one of them."""
    known = np.zeros(3**9, np.bool_)
    for number in range(rotations.shape[0]):
        known[_code(rotations[number])] = True
    product = np.empty((3, 3), np.int64)
    for a in range(rotations.shape[0]):
        for b in range(rotations.shape[0]):
            for i in range(3):
                for k in range(3):
                    product[i, k] = 0
                    for j in range(3):
                        product[i, k] += rotations[a, i, j] * rotations[b, j, k]
                    if abs(product[i, k]) > 1:
                        return False
            if not known[_code(product)]:
                return False
    return True


@compiled
def _code(matrix: NDArray[np.int64]) -> int:
    """Return the number of a matrix of -1, 0 and 1."""
    code = 0
    for i in range(3):
        for j in range(3):
            code = 3 * code + matrix[i, j] + 1
    return code


def _places(hkl: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the lowest indices and the number of each reflection in a box of hkl, -1 where there is none."""
    low = hkl.min(axis=0).astype(np.int64)
    at = hkl - low
    place = np.full(tuple(at.max(axis=0) + 1), -1, dtype=np.int32)
    place[at[:, 0], at[:, 1], at[:, 2]] = np.arange(len(hkl))
    return low, place


@compiled
def _image(rotation: NDArray[np.int64], h: NDArray[np.int32], low: NDArray[np.int64], place: NDArray[np.int32]) -> int:
    """Return the number of the rotated reflection or its Friedel mate, -1 if it is not in the list."""
    x = rotation[0, 0] * h[0] + rotation[0, 1] * h[1] + rotation[0, 2] * h[2]
    y = rotation[1, 0] * h[0] + rotation[1, 1] * h[1] + rotation[1, 2] * h[2]
    z = rotation[2, 0] * h[0] + rotation[2, 1] * h[1] + rotation[2, 2] * h[2]
    if x < 0 or (x == 0 and (y < 0 or (y == 0 and z < 0))):
        x, y, z = -x, -y, -z
    x, y, z = x - low[0], y - low[1], z - low[2]
    if x < 0 or y < 0 or z < 0 or x >= place.shape[0] or y >= place.shape[1] or z >= place.shape[2]:
        return -1
    return int(place[x, y, z])


@compiled
def _agreeing(
    hkl: NDArray[np.int32],
    f2: Array,
    rotations: NDArray[np.int64],
    low: NDArray[np.int64],
    place: NDArray[np.int32],
    equal: float,
    negligible: float,
) -> NDArray[np.bool_]:
    found = np.ones(rotations.shape[0], np.bool_)
    for number in range(1, rotations.shape[0]):
        for i in range(f2.size):
            j = _image(rotations[number], hkl[i], low, place)
            if j >= 0 and abs(f2[i] - f2[j]) > equal * f2[i] + negligible:
                found[number] = False
                break
    return found


def _families(
    hkl: NDArray[np.int32], q: Array, f2: Array, rotations: NDArray[np.int64]
) -> tuple[NDArray[np.int32], Array, Array]:
    """Return one hkl, the mean |Q| and the sum of |F|^2 of each family, of one of each Friedel pair."""
    low, place = _places(hkl)
    representative, mean, total = np.empty_like(hkl), np.empty_like(q), np.empty_like(f2)
    n = _gather(hkl, q, f2, rotations, low, place, representative, mean, total)
    return representative[:n], mean[:n], total[:n]


@compiled
def _gather(
    hkl: NDArray[np.int32],
    q: Array,
    f2: Array,
    rotations: NDArray[np.int64],
    low: NDArray[np.int64],
    place: NDArray[np.int32],
    representative: NDArray[np.int32],
    mean: Array,
    total: Array,
) -> int:
    taken = np.zeros(q.size, np.bool_)
    n = 0
    for i in range(q.size):
        if taken[i]:
            continue
        best, count, q_sum = i, 0, 0.0
        total[n] = 0.0
        for number in range(rotations.shape[0]):
            j = _image(rotations[number], hkl[i], low, place)
            if j < 0 or taken[j]:
                continue
            taken[j] = True
            count += 1
            q_sum += q[j]
            total[n] += f2[j]
            for axis in range(3):
                if hkl[j, axis] != hkl[best, axis]:
                    if hkl[j, axis] > hkl[best, axis]:
                        best = j
                    break
        representative[n] = hkl[best]
        mean[n] = q_sum / count
        n += 1
    return n
