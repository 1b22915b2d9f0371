"""Fast test for additional symmetry at looser tolerances, without false negatives.

A symmetry search accepts a rotation that changes no cell length by more than `symprec_A` and no cell angle by more
than `angle_tolerance_deg`, with a translation that brings every atom within `symprec_A` of one of its kind. What it
accepts at one tolerance it accepts at a looser one. So where no further operation comes within reach of the loosest
tolerances, all searches between the tightest and the loosest see the same operations, and one search is enough.

Two things keep the work small. Operations beyond a known group come in cosets of it, so one of each coset is tried.
And an operation is given up at the first atom that finds no partner, rarest kinds first.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from curation.atoms import Array, Atoms

SLACK = 1.02
"""Factor by which tolerances are widened against rounding."""


def _finite_rotations() -> NDArray[np.int64]:
    """Return the proper rotations of reduced cells: entries -1, 0, 1, determinant 1, order 1, 2, 3, 4 or 6."""
    entries = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    entries = entries[np.round(np.linalg.det(entries)).astype(int) == 1]
    finite = (np.linalg.matrix_power(entries, 12) == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
    found: NDArray[np.int64] = entries[finite]
    return found


_ROTATIONS = _finite_rotations()
_AS_FLOAT = _ROTATIONS.astype(np.float64)


def more_symmetry_within(
    atoms: Atoms, rotations: NDArray[np.int64], known_to_A: float, symprec_A: float, angle_tolerance_deg: float
) -> bool:
    """Return whether an operation beyond the known ones may be accepted at these tolerances.

    `atoms` is a Niggli-reduced primitive cell; `rotations` are its known point operations, acting on fractional
    coordinates, which hold to `known_to_A`.
    """
    candidates = _lattice_rotations(atoms.lattice_A, symprec_A * SLACK, angle_tolerance_deg * SLACK)
    representatives = _coset_representatives(candidates, rotations)
    # The one tried may be worse than the one accepted by what the known operations are off; and a search may take the
    # translation from another atom than we do, which shifts it by as much again.
    reach = 2.0 * (symprec_A + known_to_A) * SLACK
    return _any_maps_all_atoms(atoms, representatives, reach)


def _lattice_rotations(lattice_A: Array, length_A: float, angle_deg: float) -> NDArray[np.int64]:
    g = lattice_A @ lattice_A.T
    old = np.sqrt(np.diag(g))
    new = np.sqrt(((_AS_FLOAT.transpose(0, 2, 1) @ g) * _AS_FLOAT.transpose(0, 2, 1)).sum(axis=2))
    close = (np.abs(new - old) < length_A).all(axis=1)
    found, new, r = _ROTATIONS[close], new[close], _AS_FLOAT[close]
    images = r.transpose(0, 2, 1) @ g @ r
    first, second = [1, 0, 0], [2, 2, 1]
    before = np.clip(g[first, second] / (old[first] * old[second]), -1.0, 1.0)
    after = np.clip(images[:, first, second] / (new[:, first] * new[:, second]), -1.0, 1.0)
    near = np.abs(np.degrees(np.arccos(after) - np.arccos(before))) < angle_deg
    kept: NDArray[np.int64] = found[near.all(axis=1)]
    return kept


def _coset_representatives(candidates: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one candidate of each coset of the known rotations, inverses included; the identity for the first."""
    seen: set[bytes] = {r.tobytes() for r in known}
    found = [np.eye(3, dtype=np.int64)]
    for proper in candidates:
        for r in (proper, -proper):
            if r.tobytes() not in seen:
                found.append(r)
                seen.update(m.tobytes() for m in r @ known)
    return np.array(found)


def _any_maps_all_atoms(atoms: Atoms, rotations: NDArray[np.int64], reach_A: float) -> bool:
    """Return whether a rotation with some translation, other than the identity, maps every atom onto another."""
    counts = np.bincount(atoms.kind, minlength=len(atoms.occupants))[atoms.kind]
    order = np.lexsort((atoms.kind, counts))
    partners = atoms.fractional[order[: counts[order[0]]]]
    first = partners[0]
    # Every pair of a rotation and a translation that brings the first atom onto one of its kind.
    which = np.repeat(np.arange(len(rotations)), len(partners))
    translations = (partners[None, :, :] - (rotations @ first)[:, None, :]).reshape(-1, 3)
    which, translations = which[1:], translations[1:]  # without the identity
    for i in order[1:].tolist():
        if not len(which):
            return False
        same = atoms.fractional[atoms.kind == atoms.kind[i]]
        images = (rotations @ atoms.fractional[i])[which] + translations
        d = images[:, None, :] - same[None, :, :]
        d -= np.rint(d)
        d = d @ atoms.lattice_A
        near = np.einsum("ijk,ijk->ij", d, d).min(axis=1) < reach_A * reach_A
        which, translations = which[near], translations[near]
    return len(which) > 0
