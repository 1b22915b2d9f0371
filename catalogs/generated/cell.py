"""Draws of conventional cells: shapes by Bravais lattice at a given volume."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from catalogs.generated.statistics import Statistics

Floats = NDArray[np.float64]
CellParameters = tuple[float, float, float, float, float, float]
"""a, b, c in A; alpha, beta, gamma in degrees."""

_FREE = {
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


def draw_cell(
    lattice: str, volume_A3: float, statistics: Statistics, random: np.random.Generator
) -> CellParameters | None:
    """Return a cell of a Bravais lattice with a volume; None if the angles drawn enclose next to none."""
    quantiles = statistics.shapes[lattice]
    family = lattice[0]
    shape = [0.0, 0.0, 90.0, 90.0, 120.0 if family == "h" else 90.0]
    for i in _FREE[family]:
        shape[i] = draw_quantile(quantiles[i], random)
    alpha, beta, gamma = shape[2:]
    ca, cb, cg = (0.0 if t == 90.0 else math.cos(math.radians(t)) for t in shape[2:])
    square = 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg
    if square < SMALLEST_ANGLE_FACTOR**2:
        return None
    b, c = math.exp(shape[0]), math.exp(shape[1])
    a = (volume_A3 / (b * c * math.sqrt(square))) ** (1.0 / 3.0)
    return a, a * b, a * c, alpha, beta, gamma


def draw_quantile(quantiles: Floats, random: np.random.Generator) -> float:
    """Return a value of the distribution with these equally spaced quantiles."""
    at = random.random() * (len(quantiles) - 1)
    i = min(int(at), len(quantiles) - 2)
    return float(quantiles[i] + (at - i) * (quantiles[i + 1] - quantiles[i]))


def cell_vectors(cell: CellParameters) -> Floats:
    """Return rows a, b, c in A, a along x and b in the xy plane."""
    a, b, c, alpha, beta, gamma = cell
    ca, cb, cg = (0.0 if t == 90.0 else math.cos(math.radians(t)) for t in (alpha, beta, gamma))
    sg = 1.0 if gamma == 90.0 else math.sin(math.radians(gamma))
    x, y = cb, (ca - cb * cg) / sg
    return np.array([[a, 0.0, 0.0], [b * cg, b * sg, 0.0], [c * x, c * y, c * math.sqrt(1.0 - x * x - y * y)]])
