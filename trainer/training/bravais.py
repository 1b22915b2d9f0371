"""Bravais lattices by space group, and the lattice as numbers that a network regresses."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

BRAVAIS = ("aP", "mP", "mS", "oP", "oS", "oI", "oF", "tP", "tI", "hP", "hR", "cP", "cI", "cF")
_FAMILY_ENDS = ((2, "a"), (15, "m"), (74, "o"), (142, "t"), (194, "h"), (230, "c"))
_CENTRING = {"P": "P", "A": "S", "B": "S", "C": "S", "I": "I", "F": "F", "R": "R"}
DEGREES = 28.6
"""Degrees of angle that count as much as one unit of the logarithm of a length."""


@cache
def bravais_of_groups() -> NDArray[np.int64]:
    """Return the index in `BRAVAIS` of each space group 1 to 230 (at 0 to 229)."""
    with files("trainer.evaluation").joinpath("space_groups.csv").open() as source:
        symbols = [(int(row["number"]), row["symbol"]) for row in csv.DictReader(source)]
    found = []
    for number, symbol in symbols:
        family = next(letter for end, letter in _FAMILY_ENDS if number <= end)
        found.append(BRAVAIS.index(family + _CENTRING[symbol[0]]))
    return np.array(found)


def to_numbers(niggli: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return logarithms of the three lengths and scaled angles of Niggli cells (structure, 6) in A and degrees."""
    found: NDArray[np.float32] = np.concatenate(
        [np.log(niggli[:, :3]), (niggli[:, 3:] - 90.0) / DEGREES], axis=1
    ).astype(np.float32)
    return found


def from_numbers(numbers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return Niggli cells (..., 6) in A and degrees."""
    values = numbers.astype(np.float64)
    return np.concatenate([np.exp(values[..., :3]), 90.0 + DEGREES * values[..., 3:]], axis=-1)
