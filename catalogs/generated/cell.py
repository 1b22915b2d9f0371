"""Shapes of conventional cells by Bravais lattice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FREE = {
    "a": (0, 1, 2, 3, 4),
    "m": (0, 1, 3),
    "o": (0, 1),
    "t": (1,),
    "h": (1,),
    "c": (),
}
"""By crystal family: which of ln(b/a), ln(c/a), alpha, beta, gamma are free."""


def bravais_lattice(number: int, symbol: str) -> str:
    """Return Pearson's symbol of a space group's lattice, from its number and the first letter of its symbol."""
    family = "amothc"[int(np.searchsorted([2, 15, 74, 142, 194], number))]
    return family + ("S" if symbol[0] in "ABC" else symbol[0])


def shape_quantiles(lattice: str, counted: dict[str, Floats]) -> Floats:
    """Return the quantiles of ln(b/a), ln(c/a), alpha, beta, gamma; equal ones of what is not free."""
    found = np.zeros_like(counted[lattice])
    found[2:] = 90.0
    if lattice[0] == "h":
        found[4] = 120.0
    free = list(_FREE[lattice[0]])
    found[free] = counted[lattice][free]
    return found
