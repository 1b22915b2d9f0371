"""Equalities that the Niggli-reduced cell of each of the 14 Bravais lattices must have.

The 44 reduced forms (lattice characters) are Niggli's, as listed in International Tables A, Table 3.1.3.1 (2016;
Table 9.2.5.1 of earlier editions). Equalities alone are kept: a lattice may be more symmetric than its crystal,
never less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.niggli import Metric

_ORDER = "ABCDEF"
_SAME = {"=": ("A-B", "B-C"), "ab": ("A-B",), "bc": ("B-C",), "": ()}

_FORMS: tuple[tuple[int, str, str, str], ...] = (
    # number, lattice, equal lengths, relations that vanish
    (1, "cF", "=", "2D-A 2E-A 2F-A"),
    (2, "hR", "=", "D-E E-F"),
    (3, "cP", "=", "D E F"),
    (5, "cI", "=", "3D+A 3E+A 3F+A"),
    (4, "hR", "=", "D-E E-F"),
    (6, "tI", "=", "2D+2E+2F+A+B D-E"),
    (7, "tI", "=", "2D+2E+2F+A+B E-F"),
    (8, "oI", "=", "2D+2E+2F+A+B"),
    (9, "hR", "ab", "2D-A 2E-A 2F-A"),
    (10, "mS", "ab", "D-E"),
    (11, "tP", "ab", "D E F"),
    (12, "hP", "ab", "D E 2F+A"),
    (13, "oS", "ab", "D E"),
    (15, "tI", "ab", "2D+A 2E+A F"),
    (16, "oF", "ab", "2D+2E+2F+A+B D-E"),
    (14, "mS", "ab", "D-E"),
    (17, "mS", "ab", "2D+2E+2F+A+B"),
    (18, "tI", "bc", "4D-A 2E-A 2F-A"),
    (19, "oI", "bc", "2E-A 2F-A"),
    (20, "mS", "bc", "E-F"),
    (21, "tP", "bc", "D E F"),
    (22, "hP", "bc", "2D+B E F"),
    (23, "oS", "bc", "E F"),
    (24, "hR", "bc", "2D+2E+2F+A+B 3E+A 3F+A"),
    (25, "mS", "bc", "E-F"),
    (26, "oF", "", "4D-A 2E-A 2F-A"),
    (27, "mS", "", "2E-A 2F-A"),
    (28, "mS", "", "2E-A F-2D"),
    (29, "mS", "", "E-2D 2F-A"),
    (30, "mS", "", "2D-B F-2E"),
    (31, "aP", "", ""),
    (32, "oP", "", "D E F"),
    (40, "oS", "", "2D+B E F"),
    (35, "mP", "", "E F"),
    (36, "oS", "", "D 2E+A F"),
    (33, "mP", "", "D F"),
    (38, "oS", "", "D E 2F+A"),
    (34, "mP", "", "D E"),
    (42, "oI", "", "2D+B 2E+A F"),
    (41, "mS", "", "2D+B F"),
    (37, "mS", "", "2E+A F"),
    (39, "mS", "", "E 2F+A"),
    (43, "mS", "", "2D+2E+2F+A+B 2D+F+B"),
    (44, "aP", "", ""),
)


def _coefficients(relation: str) -> list[float]:
    """Return the coefficients of A..F of a relation such as `2D+A`."""
    found = [0.0] * 6
    for term in relation.replace("-", "+-").split("+"):
        if term:
            sign = -1.0 if term.startswith("-") else 1.0
            number = term.lstrip("-")[:-1]
            found[_ORDER.index(term[-1])] = sign * float(number or 1)
    return found


_RULES: dict[str, list[tuple[int, NDArray[np.float64]]]] = {}
for _number, _lattice, _lengths, _relations in _FORMS:
    _rows = [_coefficients(r) for r in (*_SAME[_lengths], *_relations.split())]
    _RULES.setdefault(_lattice, []).append((_number, np.array(_rows, dtype=np.float64).reshape(-1, 6)))

LATTICES = tuple(sorted(_RULES))
"""The 14 Bravais lattices by Pearson's symbols."""

_SPECIAL_CASES = {"oF": ("tI", "cF"), "tI": ("cF",)}
"""More symmetric lattices whose reduced form is not a special case of the lattice's own: an F-centred orthorhombic
crystal whose three edges happen to be equal has the reduced cell of a cubic one, which shows none of the equalities of
forms 16 and 26. Every other lattice's forms hold for all lattices that are more symmetric."""
for _lattice, _others in _SPECIAL_CASES.items():
    _RULES[_lattice].extend(rule for other in _others for rule in tuple(_RULES[other]))


def bravais_lattice(space_group: int, symbol: str) -> str:
    """Return Pearson's symbol of a space group's lattice, from its number and the first letter of its symbol."""
    family = "amothc"[np.searchsorted([2, 15, 74, 142, 194], space_group)]
    letter = symbol[0]
    return family + ("S" if letter in "ABC" else letter)


def lattice_points(lattice: str) -> int:
    """Return the number of primitive cells in the conventional cell of a Bravais lattice."""
    return {"P": 1, "F": 4, "R": 3}.get(lattice[1], 2)


def lattice_deviation(metric: Metric, lattice: str) -> tuple[float, int]:
    """Return the largest relative deviation from the best fitting reduced form, and that form's number.

    Lengths are compared relative to their own size: |a.a - b.b| / (a.a + b.b) is |a - b| / a for nearly equal ones.
    A relation with dot products is divided by the largest product of lengths behind them, so that it is a difference
    of cosines: D = b.c = 0 with |b||c| cos(alpha) is off by |cos(alpha)|.
    """
    g = np.array(metric)
    a, b, c = np.sqrt(g[:3])
    products = np.array([b * c, a * c, a * b])
    best = (float("inf"), 0)
    for number, relations in _RULES[lattice]:
        if not len(relations):
            return 0.0, number if (min(g[3:]) > 0) == (number == 31) else 75 - number
        dots = np.max(np.abs(relations[:, 3:]) * products, axis=1)
        squares = np.abs(relations[:, :3]) @ g[:3]
        scale = np.where(dots > 0, dots, squares)
        best = min(best, (float(np.max(np.abs(relations @ g) / scale)), number))
    return best
