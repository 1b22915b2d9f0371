"""Cells that differ from the crystal's in what its symmetry leaves free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.augmentation import Augmentations, AugmentationSettings

Array = NDArray[np.float64]
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Places of the six components in the tensor: xx, yy, zz, yz, xz, xy."""


def is_strained(augmentations: Augmentations) -> NDArray[np.bool_]:
    """Return in which patterns the cell may differ from the crystal's."""
    found = (augmentations.strain_isotropic != 0.0) | augmentations.strain_anisotropic.any(axis=1)
    return np.asarray(found, dtype=np.bool_)


def standard_frame(lattice_A: Array) -> Array:
    """Return the cell vectors with a along x and b in the xy plane, rows."""
    return np.asarray(np.linalg.cholesky(lattice_A @ lattice_A.T), dtype=np.float64)


def strained_lattices(lattice_A: Array, rotations: NDArray[np.int8], augmentations: Augmentations) -> Array:
    """Return the cell vectors of each augmentation (augmentation, 3, 3), a along x and b in the xy plane.

    `rotations` are those of the point group, as matrices on hkl. The mean of a strain over the point group is its part
    that keeps the symmetry (Nye, Physical Properties of Crystals, ch. 1 and 6); of that the isotropic part is left out,
    for which there is a parameter of its own.
    """
    frame = standard_frame(lattice_A)
    turned = np.linalg.inv(frame) @ rotations.astype(np.float64) @ frame
    # One by one, so that rounding does not depend on which augmentations are simulated together.
    return np.array(
        [
            _strained(frame, turned, isotropic, components)
            for isotropic, components in zip(
                augmentations.strain_isotropic, augmentations.strain_anisotropic, strict=True
            )
        ]
    )


def _strained(frame: Array, turned: Array, isotropic: float, components: Array) -> Array:
    tensor = np.zeros((3, 3))
    for value, (i, j) in zip(components, VOIGT, strict=True):
        tensor[i, j] = tensor[j, i] = value
    kept = np.mean(np.swapaxes(turned, 1, 2) @ tensor @ turned, axis=0)
    kept += (isotropic - np.trace(kept) / 3.0) * np.eye(3)
    return standard_frame(frame @ (np.eye(3) + kept))


def largest_strain(settings: AugmentationSettings) -> float:
    """Return a bound of the relative change of any d spacing under these settings."""

    def most(name: str) -> float:
        low, high = getattr(settings, name)
        return max(abs(low), abs(high)) if getattr(settings.probability, name) > 0 else 0.0

    # A tensor changes no length by more than its Frobenius norm: three components once, three twice.
    return most("strain_isotropic") + 3.0 * most("strain_anisotropic")
