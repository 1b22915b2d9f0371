"""A crystal in each of the 230 space groups, made from the group's own operations."""

from __future__ import annotations

import functools

import numpy as np
import spglib

from curation.crystal import Crystal
from datagen.simulate.gsas2.cell import quiet_spglib

_CELLS = (
    (2, (5.1, 5.9, 6.8, 82.0, 97.0, 105.0)),
    (15, (5.1, 6.3, 7.2, 90.0, 104.0, 90.0)),
    (74, (5.1, 6.3, 7.2, 90.0, 90.0, 90.0)),
    (142, (5.7, 5.7, 7.2, 90.0, 90.0, 90.0)),
    (194, (5.7, 5.7, 7.2, 90.0, 90.0, 120.0)),
    (230, (6.4, 6.4, 6.4, 90.0, 90.0, 90.0)),
)
_GENERAL = {"Fe": (0.1130, 0.2170, 0.3710), "S": (0.4030, 0.0590, 0.1830)}
"""Two general positions; what is closer together than atoms can be makes a pattern as well."""


def crystal_in_group(number: int) -> Crystal:
    """Primitive cell; the first listed setting of the group, which is often not the one GSAS-II knows."""
    hall = _first_listed()[number]
    with quiet_spglib():
        found = spglib.get_symmetry_from_database(hall)
    assert found is not None
    a, b, c, *angles = next(cell for last, cell in _CELLS if number <= last)
    lattice = _matrix(a, b, c, *angles)
    positions, kinds = [], []
    for kind, xyz in enumerate(_GENERAL.values()):
        orbit = (found["rotations"] @ np.array(xyz) + found["translations"]) % 1.0
        orbit = np.unique(np.round(orbit, 9) % 1.0, axis=0)
        positions.extend(orbit)
        kinds.extend([kind] * len(orbit))
    with quiet_spglib():
        primitive = spglib.standardize_cell((lattice, np.array(positions), kinds), to_primitive=True, no_idealize=True)
    assert primitive is not None
    lattice, positions, kinds = primitive
    names = list(_GENERAL)
    return Crystal.canonical(lattice, [names[k] for k in kinds], np.ones(len(kinds)), np.array(positions))


@functools.cache
def _first_listed() -> dict[int, int]:
    """Space group to Hall number: origin choice 1, hexagonal axes."""
    with quiet_spglib():
        found = [(hall, spglib.get_spacegroup_type(hall)) for hall in range(530, 0, -1)]
    return {f.number: hall for hall, f in found if f is not None}


def _matrix(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> np.ndarray:
    cos = np.cos(np.radians([alpha, beta, gamma]))
    sin = np.sin(np.radians(gamma))
    cy = (cos[0] - cos[1] * cos[2]) / sin
    return np.array([[a, 0, 0], [b * cos[2], b * sin, 0], [c * cos[1], c * cy, c * np.sqrt(1 - cos[1] ** 2 - cy**2)]])
