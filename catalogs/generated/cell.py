"""Conventional cells of a given volume, drawn by Bravais lattice, and their vectors."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from catalogs.generated.draws import Stream, quantile

Floats = NDArray[np.float64]

FREE = {
    "a": (0, 1, 2, 3, 4),
    "m": (0, 1, 3),
    "o": (0, 1),
    "t": (1,),
    "h": (1,),
    "c": (),
}
"""By crystal family: which of ln(b/a), ln(c/a), alpha, beta, gamma are free."""
SMALLEST_ANGLE_FACTOR = 0.2
"""Smallest volume of a cell relative to the product of its edges."""


def bravais_lattice(number: int, symbol: str) -> str:
    """Return Pearson's symbol of a space group's lattice, from its number and the first letter of its symbol."""
    family = "amothc"[int(np.searchsorted([2, 15, 74, 142, 194], number))]
    return family + ("S" if symbol[0] in "ABC" else symbol[0])


def shape_quantiles(lattice: str, counted: dict[str, Floats]) -> Floats:
    """Return the quantiles of ln(b/a), ln(c/a), alpha, beta, gamma, constant where the lattice leaves no freedom."""
    found = np.zeros_like(counted[lattice])
    found[2:] = 90.0
    if lattice[0] == "h":
        found[4] = 120.0
    free = list(FREE[lattice[0]])
    found[free] = counted[lattice][free]
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def draw_cell(shapes: Floats, volume_A3: float, s: Stream, cell: Floats) -> bool:
    """Draw a, b, c in A and alpha, beta, gamma in degrees; return False if the angles drawn enclose next to none."""
    for i in range(5):
        cell[i + 1] = shapes[i, 0] if shapes[i, 0] == shapes[i, -1] else quantile(shapes[i], s)
    square = 1.0
    product = 2.0
    for i in range(3, 6):
        cosine = _cosine(cell[i])
        square -= cosine * cosine
        product *= cosine
    square += product
    if square < SMALLEST_ANGLE_FACTOR**2:
        return False
    b, c = math.exp(cell[1]), math.exp(cell[2])
    a = (volume_A3 / (b * c * math.sqrt(square))) ** (1.0 / 3.0)
    cell[0], cell[1], cell[2] = a, a * b, a * c
    return True


@numba.njit(cache=True, error_model="numpy", nogil=True)
def cell_vectors(cell: Floats) -> Floats:
    """Return rows a, b, c in A, a along x and b in the xy plane."""
    ca, cb, cg = _cosine(cell[3]), _cosine(cell[4]), _cosine(cell[5])
    sg = 1.0 if cg == 0.0 else math.sin(math.radians(cell[5]))
    x, y = cb, (ca - cb * cg) / sg
    found = np.zeros((3, 3))
    found[0, 0] = cell[0]
    found[1, 0], found[1, 1] = cell[1] * cg, cell[1] * sg
    found[2, 0], found[2, 1] = cell[2] * x, cell[2] * y
    found[2, 2] = cell[2] * math.sqrt(1.0 - x * x - y * y)
    return found


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _cosine(angle_deg: float) -> float:
    return 0.0 if angle_deg == 90.0 else math.cos(math.radians(angle_deg))
