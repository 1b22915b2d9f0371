"""How many reflections a crystal shows within a range of angles."""

from __future__ import annotations

from functools import lru_cache

import gemmi
import numpy as np

from curation.atoms import Array, Atoms

MERGE = 5e-6
"""1/d that agree to this fraction are one reflection, as in the simulation."""
ABSENT = 1e-9
"""|F|^2 below this fraction of what all atoms in phase would give counts as none."""
_CHUNK = 4_000_000
"""Phases computed at a time."""


def count_reflections(atoms: Atoms, wavelength_A: float, two_theta_deg: tuple[float, float]) -> int:
    """Distinct d-spacings with intensity whose Bragg angle lies in the range, both ends included."""
    q_min, q_max = (2.0 * np.sin(np.radians(t / 2.0)) / wavelength_A for t in two_theta_deg)
    hkl, q = _half_sphere(atoms.lattice_A, float(q_min), float(q_max))
    if not len(q):
        return 0
    f2, all_in_phase = _f_squared(atoms, hkl, q)
    seen = np.sort(q[f2 > ABSENT * all_in_phase])
    return int(np.count_nonzero(np.diff(seen) > MERGE * seen[1:])) + 1 if len(seen) else 0


def _half_sphere(lattice_A: Array, q_min: float, q_max: float) -> tuple[Array, Array]:
    """hkl, one of each Friedel pair, with q_min <= 1/d <= q_max."""
    reciprocal = np.linalg.inv(lattice_A)
    h_max, k_max, l_max = np.floor(q_max * np.linalg.norm(lattice_A, axis=1)).astype(int).tolist()
    found, lengths = [], []
    k, m = np.meshgrid(np.arange(-k_max, k_max + 1), np.arange(-l_max, l_max + 1), indexing="ij")
    plane = np.stack([np.zeros(k.size), k.ravel(), m.ravel()], axis=1)
    for h in range(h_max + 1):
        plane[:, 0] = h
        q = np.linalg.norm(plane @ reciprocal.T, axis=1)
        inside = (q >= q_min) & (q <= q_max)
        if h == 0:
            inside &= (plane[:, 1] > 0) | ((plane[:, 1] == 0) & (plane[:, 2] > 0))
        found.append(plane[inside])
        lengths.append(q[inside])
    return np.concatenate(found), np.concatenate(lengths)


def _f_squared(atoms: Atoms, hkl: Array, q: Array) -> tuple[Array, Array]:
    """|F|^2 without dispersion, and what it would be with all atoms in phase, electrons^2."""
    s2 = (q / 2.0) ** 2
    f = np.zeros(len(q), dtype=np.complex128)
    total = np.zeros(len(q))
    for kind, here in enumerate(atoms.occupants):
        positions = atoms.fractional[atoms.kind == kind]
        if not len(positions):
            continue
        factor = np.zeros(len(q))
        for species, occupancy, u_iso in here:
            factor += (
                occupancy * np.exp(-8.0 * np.pi**2 * u_iso * s2) * _form_factor(species.rstrip("+-0123456789"), s2)
            )
        step = max(1, _CHUNK // len(positions))
        for i in range(0, len(q), step):
            f[i : i + step] += factor[i : i + step] * np.exp(2j * np.pi * (hkl[i : i + step] @ positions.T)).sum(axis=1)
        total += len(positions) * np.abs(factor)
    return np.abs(f) ** 2, total**2


def _form_factor(element: str, s2: Array) -> Array:
    a, b, c = _coefficients(element)
    found: Array = np.exp(-np.outer(s2, b)) @ a + c
    return found


@lru_cache(maxsize=128)
def _coefficients(element: str) -> tuple[Array, Array, float]:
    table = gemmi.Element(element).it92
    return np.array(table.a), np.array(table.b), float(table.c)
