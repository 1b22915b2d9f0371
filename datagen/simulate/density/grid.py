"""The content of a density file of any format: values on a grid, the cell and its atoms."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.store.density_codes import DensityRefused

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DensityGrid:
    """Electron density on a regular grid over a cell, point (i, j, k) at fractions (i/nx, j/ny, k/nz)."""

    values: Array
    """e/A^3."""
    lattice_A: Array
    """Rows are the cell vectors a, b, c."""
    amounts: tuple[tuple[str, int], ...]
    """Number of atoms in the cell by element; the name is empty if the file has none (VASP 4)."""

    @property
    def volume_A3(self) -> float:
        """Return the volume of the cell."""
        return abs(float(np.linalg.det(self.lattice_A)))

    @property
    def n_atoms(self) -> int:
        """Return the number of atoms in the cell."""
        return sum(count for _, count in self.amounts)

    @property
    def electrons(self) -> float:
        """Return the electrons per cell: mean over the points times the volume."""
        return float(np.mean(self.values)) * self.volume_A3


def checked_grid(values: Array, lattice_A: Array, amounts: list[tuple[str, int]]) -> DensityGrid:
    """Return the grid, or refuse it if the cell has no volume or a value is not finite."""
    volume = abs(float(np.linalg.det(lattice_A))) if np.isfinite(lattice_A).all() else 0.0
    if not volume > 1e-3:
        raise DensityRefused("bad_cell", f"cell vectors {np.round(lattice_A, 6).tolist()} span no volume")
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise DensityRefused("not_finite", f"{bad} of {values.size} values are NaN or infinite")
    return DensityGrid(values, lattice_A, tuple(amounts))


def parse_numbers(text: bytes, expected: int) -> Array:
    """Return exactly `expected` numbers from text written by Fortran.

    Fortran omits the E of an exponent of three digits (0.123-100). Read as two numbers, it would shift all that follow.
    """
    characters = np.frombuffer(text, dtype=np.uint8)
    signs = np.flatnonzero((characters[1:] == ord("-")) | (characters[1:] == ord("+")))
    if np.isin(characters[signs], _DIGITS_AND_POINT).any():
        text = _WITHOUT_E.sub(rb"\1E\2", text)
    if b"D" in text or b"d" in text:
        text = text.replace(b"D", b"E").replace(b"d", b"e")
    try:
        numbers = np.fromstring(text, dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        numbers = np.zeros(0)
    if numbers.size != expected:
        raise DensityRefused("bad_format", f"expected {expected} numbers, found other text or another count")
    return numbers


_DIGITS_AND_POINT = np.frombuffer(b"0123456789.", dtype=np.uint8)
_WITHOUT_E = re.compile(rb"(\d*\.\d*)([+-]\d{3})(?=\s|$)")
