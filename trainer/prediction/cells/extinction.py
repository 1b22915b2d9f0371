"""Reflections that space groups leave, in the conventional cell of a Bravais lattice whose axes have no order yet."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from trainer.prediction.cells.conventional import present

Indices = NDArray[np.int64]

_A_CENTRED = range(38, 42)
"""Groups whose standard setting is A-centred."""
_UNIT: Indices = np.eye(3, dtype=np.int64)
_MONOCLINIC: tuple[Indices, ...] = (
    _UNIT,
    _UNIT[[2, 1, 0]],
    np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]]),
)
"""Glides along c, along a, and along the diagonal."""
_OF_A_CENTRED: tuple[Indices, ...] = (_UNIT[[2, 0, 1]], _UNIT[[2, 1, 0]])
"""From a C-centred cell to the A-centred one of a group's standard setting."""
_TWELFTHS = 12
"""Translations of operations are multiples of 1/12, those along diagonals included."""


def left(group: int, lattice: str, hkl: Indices) -> list[NDArray[np.bool_]]:
    """Return for each choice of axes which reflections (reflection, 3) of the lattice a space group leaves."""
    kept = present(lattice, hkl)
    return [kept & ~_absent(group, hkl @ turned.T) for turned in _choices(group, lattice)]


def _absent(group: int, hkl: Indices) -> NDArray[np.bool_]:
    """Return which reflections the operations of a group, its centring apart, make absent."""
    found = np.zeros(len(hkl), dtype=bool)
    for rotation, translation in _operations()[group]:
        found |= (hkl @ rotation == hkl).all(axis=1) & (hkl @ translation % _TWELFTHS != 0)
    return found


@cache
def _operations() -> dict[int, list[tuple[Indices, Indices]]]:
    """Return by space group the operations that make reflections absent: rotations, and translations in twelfths.

    `benchmarks/absences.py` makes the file.
    """
    with files("trainer.prediction.cells").joinpath("absences.csv").open() as source:
        return {int(row["group"]): [_read(one) for one in row["operations"].split()] for row in csv.DictReader(source)}


def _read(triplet: str) -> tuple[Indices, Indices]:
    """Return rotation and translation of an operation such as -y+1/4,x,z+1/2."""
    rotation, translation = np.zeros((3, 3), dtype=np.int64), np.zeros(3, dtype=np.int64)
    for row, text in enumerate(triplet.split(",")):
        for part in text.replace("-", "+-").split("+"):
            axis = part.lstrip("-")
            if axis in ("x", "y", "z"):
                rotation[row, "xyz".index(axis)] = -1 if part.startswith("-") else 1
            elif axis:
                above, below = (int(number) for number in part.split("/"))
                translation[row] = above * _TWELFTHS // below
    return rotation, translation


@cache
def _choices(group: int, lattice: str) -> tuple[Indices, ...]:
    """Return what turns indices into those of the group's standard setting, for each choice of axes."""
    if lattice == "mP":
        return _MONOCLINIC
    if lattice == "oS":
        return _OF_A_CENTRED if group in _A_CENTRED else (_UNIT, _UNIT[[1, 0, 2]])
    if lattice[0] == "o":
        return tuple(_UNIT[list(order)] for order in permutations(range(3)))
    if lattice == "cP":
        return _UNIT, _UNIT[[1, 0, 2]]
    return (_UNIT,)
