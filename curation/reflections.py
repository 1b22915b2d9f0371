"""Reflections of a cell: hkl of a half sphere, |F|^2 averaged over Friedel mates, peaks merged by |Q|.

The only implementation: curation counts reflections with it, simulation computes patterns from it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from catalogs.compiled import compiled
from curation.crystal import Crystal

Array = NDArray[np.float64]
Hkl = NDArray[np.int32]

MERGE_TOLERANCE = 5e-6
"""Reflections whose |Q| agree to this fraction are one: stored cells are rounded to 1e-6 A, which splits equivalents by
a few 1e-7. At 20 degrees it is 1e-4 degrees, a twentieth of a step of the paper's grid."""
MOST_REFLECTIONS = 20_000_000
"""Of a half sphere; they take 400 MB."""
ABSENT = 1e-9
"""A peak up to this fraction of the strongest is one that symmetry forbids, left over by rounding."""


def count_reflections(crystal: Crystal, wavelength_A: float, two_theta_deg: tuple[float, float]) -> int:
    """Return the number of peaks whose Bragg angle is in the range, both ends included.

    Form factors are those of neutral atoms, without dispersion.
    """
    q_min, q_max = (2.0 * math.sin(math.radians(t / 2.0)) / wavelength_A for t in two_theta_deg)
    hkl, q2 = half_sphere(crystal.lattice_A, q_min, q_max)
    if not len(q2):
        return 0
    order = np.argsort(q2, kind="stable")
    elements = [species.rstrip("+-0123456789") for species in crystal.species]
    names = list(dict.fromkeys(elements))
    index = np.array([names.index(element) for element in elements], dtype=np.int64)
    factors = np.array([_form_factor(name, 0.25 * q2) for name in names])
    args = (crystal.occupancy, crystal.u_iso_A2, factors, np.zeros(len(names)), index)
    group, total, present = merge_peaks(np.sqrt(q2[order]), f_squared(hkl, q2, crystal.fractional, *args)[order])
    # Where every reflection is absent, the strongest is rounding too: compare with all atoms in phase.
    in_phase = np.bincount(group, weights=f_squared(hkl, q2, np.zeros_like(crystal.fractional), *args)[order])
    return int(np.count_nonzero(present)) if np.any(total > ABSENT * in_phase) else 0


def merge_peaks(q: Array, intensity: Array) -> tuple[NDArray[np.int64], Array, NDArray[np.bool_]]:
    """Return each reflection's peak, each peak's intensity, and which peaks are present, for ascending |Q|."""
    group = merge_groups(q)
    total: Array = np.bincount(group, weights=intensity).astype(np.float64)
    return group, total, total > ABSENT * total.max(initial=0.0)


def half_sphere(lattice_A: Array, q_min: float, q_max: float) -> tuple[Hkl, Array]:
    """Return hkl with q_min <= 1/d <= q_max (1/A), one of each Friedel pair: indices (n, 3) and 1/d^2 (n,).

    The first non-zero index is positive; h, k, l ascend in this order of importance.
    """
    lattice = np.asarray(lattice_A, dtype=np.float64)
    expected = 2 / 3 * np.pi * q_max**3 * abs(float(np.linalg.det(lattice)))
    if expected > MOST_REFLECTIONS:
        raise ValueError(f"expected at most {MOST_REFLECTIONS:,} reflections, found about {expected:,.0f}")
    metric = np.asarray(np.linalg.inv(lattice @ lattice.T), dtype=np.float64)
    lengths = np.asarray(np.linalg.norm(lattice, axis=1), dtype=np.float64)
    count = _enumerate(metric, lengths, q_min, q_max, np.empty((0, 3), np.int32), np.empty(0))
    hkl, q2 = np.empty((count, 3), np.int32), np.empty(count)
    _enumerate(metric, lengths, q_min, q_max, hkl, q2)
    return hkl, q2


def f_squared(
    hkl: Hkl,
    q2: Array,
    fractional: Array,
    occupancy: Array,
    u_iso_A2: Array,
    factors: Array,
    f2: Array,
    species_index: NDArray[np.int64],
) -> Array:
    """Return (|F(hkl)|^2 + |F(-h-k-l)|^2) / 2 in electrons^2, for hkl with 1/d^2 = q2.

    F = sum occ (f + i f'') exp(-8 pi^2 U sin^2(theta)/lambda^2) exp(2 pi i h.x), with f = f0 + f' given as `factors`
    (species, hkl) and f'' as `f2` (species,). With A the sum over f and B the sum over f'', the mean over the pair is
    |A|^2 + |B|^2. Fastest for hkl in the order of `half_sphere`.
    """
    u_values, u_index = np.unique(u_iso_A2, return_inverse=True)
    out = np.empty(len(hkl))
    _f_squared(
        np.ascontiguousarray(hkl, dtype=np.int32),
        np.ascontiguousarray(q2, dtype=np.float64),
        np.ascontiguousarray(fractional, dtype=np.float64),
        np.ascontiguousarray(occupancy, dtype=np.float64),
        u_values.astype(np.float64),
        u_index.astype(np.int64).ravel(),
        np.ascontiguousarray(factors, dtype=np.float64),
        np.ascontiguousarray(f2, dtype=np.float64),
        np.ascontiguousarray(species_index, dtype=np.int64),
        out,
    )
    return out


@compiled
def merge_groups(q: Array) -> NDArray[np.int64]:
    """Return the number of each reflection's peak, for ascending |Q|; no peak spans more than the tolerance."""
    group = np.zeros(q.size, np.int64)
    first = 0
    for i in range(1, q.size):
        group[i] = group[i - 1]
        if q[i] - q[first] > MERGE_TOLERANCE * q[i]:
            first = i
            group[i] += 1
    return group


@compiled
def _enumerate(metric: Array, lengths: Array, q_min: float, q_max: float, hkl: Hkl, q2: Array) -> int:
    """Fill hkl and q2 up to their size; return the number of reflections."""
    capacity = q2.size
    n = 0
    low, high = q_min * q_min, q_max * q_max
    # h = a.Q, so |h| <= |a| q_max.
    h_max = int(lengths[0] * q_max)
    k_max = int(lengths[1] * q_max)
    for h in range(h_max + 1):
        for k in range(0 if h == 0 else -k_max, k_max + 1):
            # |Q|^2 = A l^2 + 2 B l + C <= high
            A = metric[2, 2]
            B = h * metric[0, 2] + k * metric[1, 2]
            C = h * h * metric[0, 0] + 2.0 * h * k * metric[0, 1] + k * k * metric[1, 1]
            root = B * B - A * (C - high)
            if root < 0.0:
                continue
            root = math.sqrt(root)
            l_first = math.ceil((-B - root) / A)
            l_last = math.floor((-B + root) / A)
            if h == 0 and k == 0:
                l_first = 1
            for m in range(l_first, l_last + 1):
                value = A * m * m + 2.0 * B * m + C
                if low <= value <= high:
                    if n < capacity:
                        hkl[n, 0], hkl[n, 1], hkl[n, 2] = h, k, m
                        q2[n] = value
                    n += 1
    return n


@compiled
def _phases(x: Array, lowest: int, highest: int, cosine: Array, sine: Array) -> None:
    for i in range(highest - lowest + 1):
        for j in range(x.size):
            # The integer part of h x carries no phase: removing it keeps the argument small and exact.
            turn = (lowest + i) * x[j]
            angle = 2.0 * math.pi * (turn - math.floor(turn))
            cosine[i, j] = math.cos(angle)
            sine[i, j] = math.sin(angle)


@compiled
def _f_squared(
    hkl: Hkl,
    q2: Array,
    fractional: Array,
    occupancy: Array,
    u_values: Array,
    u_index: NDArray[np.int64],
    factors: Array,
    f2: Array,
    species_index: NDArray[np.int64],
    out: Array,
) -> None:
    n, atoms = q2.size, occupancy.size
    if n == 0:
        return
    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    for axis in range(3):
        low[axis] = high[axis] = hkl[0, axis]
        for i in range(n):
            low[axis] = min(low[axis], hkl[i, axis])
            high[axis] = max(high[axis], hkl[i, axis])
    cos_h = np.empty((high[0] - low[0] + 1, atoms))
    cos_k = np.empty((high[1] - low[1] + 1, atoms))
    cos_l = np.empty((high[2] - low[2] + 1, atoms))
    sin_h, sin_k, sin_l = np.empty_like(cos_h), np.empty_like(cos_k), np.empty_like(cos_l)
    _phases(fractional[:, 0].copy(), low[0], high[0], cos_h, sin_h)
    _phases(fractional[:, 1].copy(), low[1], high[1], cos_k, sin_k)
    _phases(fractional[:, 2].copy(), low[2], high[2], cos_l, sin_l)

    cos_hk, sin_hk = np.empty(atoms), np.empty(atoms)
    damping = np.empty(u_values.size)
    for i in range(n):
        if i == 0 or hkl[i, 0] != hkl[i - 1, 0] or hkl[i, 1] != hkl[i - 1, 1]:
            h, k = hkl[i, 0] - low[0], hkl[i, 1] - low[1]
            for j in range(atoms):
                cos_hk[j] = cos_h[h, j] * cos_k[k, j] - sin_h[h, j] * sin_k[k, j]
                sin_hk[j] = cos_h[h, j] * sin_k[k, j] + sin_h[h, j] * cos_k[k, j]
        s2 = 0.25 * q2[i]
        for u in range(damping.size):
            damping[u] = math.exp(-8.0 * math.pi**2 * u_values[u] * s2)
        m = hkl[i, 2] - low[2]
        a_re = a_im = b_re = b_im = 0.0
        for j in range(atoms):
            t = species_index[j]
            weight = occupancy[j] * damping[u_index[j]]
            re = weight * (cos_hk[j] * cos_l[m, j] - sin_hk[j] * sin_l[m, j])
            im = weight * (cos_hk[j] * sin_l[m, j] + sin_hk[j] * cos_l[m, j])
            a_re += factors[t, i] * re
            a_im += factors[t, i] * im
            b_re += f2[t] * re
            b_im += f2[t] * im
        out[i] = a_re * a_re + a_im * a_im + b_re * b_re + b_im * b_im


def _form_factor(element: str, s2: Array) -> Array:
    a, b, c = _coefficients(element)
    found: Array = np.exp(-np.outer(s2, b)) @ a + c
    return found


@lru_cache(maxsize=128)
def _coefficients(element: str) -> tuple[Array, Array, float]:
    table = gemmi.Element(element).it92
    return np.array(table.a), np.array(table.b), float(table.c)
