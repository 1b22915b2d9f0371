"""Comparison of two lists of atoms in one cell as crystals."""

from __future__ import annotations

import numpy as np

from curation.atoms import Array, Atoms

_MANY = 500_000
"""Distances computed at a time."""
_PROBES = 8
"""Atoms that are compared before all are."""


def same_crystal(a: Atoms, b: Atoms, tolerance_A: float) -> bool:
    """Return whether two lists of atoms in the same cell are one crystal, up to a shift of the origin."""
    ours, theirs = _by_occupants(a), _by_occupants(b)
    if ours.keys() != theirs.keys() or any(len(ours[key]) != len(theirs[key]) for key in ours):
        return False
    rarest = min(ours, key=lambda key: len(ours[key]))
    shifts = theirs[rarest] - ours[rarest][0]
    for shift in (np.zeros(3), *shifts):
        if _all_near(ours, theirs, shift, a.lattice_A, tolerance_A, _PROBES) and _all_near(
            ours, theirs, shift, a.lattice_A, tolerance_A, None
        ):
            return True
    return False


def _by_occupants(atoms: Atoms) -> dict[object, Array]:
    kinds = {k: atoms.occupants[k] for k in np.unique(atoms.kind).tolist()}
    return {occupants: atoms.fractional[atoms.kind == k] for k, occupants in kinds.items()}


def _all_near(
    ours: dict[object, Array],
    theirs: dict[object, Array],
    shift: Array,
    lattice_A: Array,
    tolerance_A: float,
    most: int | None,
) -> bool:
    """Return whether every atom, or the first `most` of each kind, has its own counterpart at the shifted place."""
    for key, points in ours.items():
        others = theirs[key]
        tried = (points if most is None else points[:most]) + shift
        step = max(1, _MANY // len(others))
        found: list[int] = []
        for start in range(0, len(tried), step):
            d = tried[start : start + step, None, :] - others[None, :, :]
            d -= np.rint(d)
            d = d @ lattice_A
            distance2 = np.einsum("ijk,ijk->ij", d, d)
            nearest = distance2.argmin(axis=1)
            if np.any(distance2[np.arange(len(nearest)), nearest] > tolerance_A**2):
                return False
            found += nearest.tolist()
        if len(set(found)) < len(found):
            return False
    return True
