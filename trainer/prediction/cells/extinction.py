"""Reflections that space groups leave, in the conventional cell of a Bravais lattice whose axes have no order yet."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import gemmi
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_UNIT: Indices = np.eye(3, dtype=np.int64)
_MONOCLINIC: tuple[Indices, ...] = (
    _UNIT,
    _UNIT[[2, 1, 0]],
    np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1]]),
)
"""Glides along c, along a, and along the diagonal."""
_OF_A_CENTRED: tuple[Indices, ...] = (_UNIT[[2, 0, 1]], _UNIT[[2, 1, 0]])
"""From a C-centred cell to the A-centred one of a group's standard setting."""


def left(group: int, lattice: str, hkl: Indices) -> list[NDArray[np.bool_]]:
    """Return for each choice of axes which reflections (reflection, 3) of the lattice a space group leaves."""
    operations = gemmi.find_spacegroup_by_number(group).operations()
    return [
        ~operations.systematic_absences(np.ascontiguousarray(hkl @ turned.T, dtype=np.int32))
        for turned in _choices(group, lattice)
    ]


@cache
def _choices(group: int, lattice: str) -> tuple[Indices, ...]:
    """Return what turns indices into those of the group's standard setting, for each choice of axes."""
    if lattice == "mP":
        return _MONOCLINIC
    if lattice == "oS":
        is_c = gemmi.find_spacegroup_by_number(group).centring_type() == "C"
        return (_UNIT, _UNIT[[1, 0, 2]]) if is_c else _OF_A_CENTRED
    if lattice[0] == "o":
        return tuple(_UNIT[list(order)] for order in permutations(range(3)))
    if lattice == "cP":
        return _UNIT, _UNIT[[1, 0, 2]]
    return (_UNIT,)
