"""Strains that a crystal's symmetry leaves free, as symmetric tensors in Cartesian axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BASIS = np.zeros((6, 3, 3))
for _k, (_i, _j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
    _BASIS[_k, _i, _j] = _BASIS[_k, _j, _i] = 1.0 if _i == _j else np.sqrt(0.5)


def free_strains(lattice_A: Array, rotations: NDArray[np.int64]) -> Array:
    """Return an orthonormal basis (0 to 5, 3, 3) of the strains without change of volume that the rotations allow.

    `rotations` act on fractional coordinates (columns) of the cell whose vectors are the rows of `lattice_A`. A strain
    is allowed where it equals its mean over the rotations, so the basis spans the projection's eigenvalue 1.
    """
    to_cartesian = lattice_A.T
    r = to_cartesian @ rotations.astype(np.float64) @ np.linalg.inv(to_cartesian)
    moved = np.einsum("nab,kbc,ndc->nkad", r, _BASIS, r).mean(axis=0)
    projection = np.einsum("kab,lab->kl", moved, _BASIS)
    # The volume's part is taken out; it is a shift on the axis ln q.
    isotropic = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) / np.sqrt(3.0)
    projection = 0.5 * (projection + projection.T) - np.outer(isotropic, isotropic)
    values, vectors = np.linalg.eigh(projection)
    found: Array = np.einsum("ki,kab->iab", vectors[:, values > 0.5], _BASIS)
    return found
