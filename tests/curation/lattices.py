"""Random lattices of each of the 14 kinds, in random settings."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from curation.atoms import Array, cell_matrix

CENTRING = {
    "P": np.eye(3),
    "S": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
LATTICES = ("aP", "mP", "mS", "oP", "oS", "oI", "oF", "tP", "tI", "hP", "hR", "cP", "cI", "cF")

lengths = st.floats(2.5, 14.0)
oblique = st.floats(91.0, 125.0)


@st.composite
def conventional_cells(draw: st.DrawFn, lattice: str) -> Array:
    """The conventional cell, b the unique axis of monoclinic ones, hexagonal axes for hR."""
    family = lattice[0]
    a, b, c = draw(lengths), draw(lengths), draw(lengths)
    if family == "a":
        alpha, beta, gamma = draw(st.floats(65, 115)), draw(st.floats(65, 115)), draw(st.floats(65, 115))
        return cell_matrix(a, b, c, alpha, beta, gamma)
    if family == "m":
        return cell_matrix(a, b, c, 90, draw(oblique), 90)
    if family == "o":
        return cell_matrix(a, b, c, 90, 90, 90)
    if family == "t":
        return cell_matrix(a, a, c, 90, 90, 90)
    if family == "h":
        return cell_matrix(a, a, c, 90, 90, 120)
    return cell_matrix(a, a, a, 90, 90, 90)


@st.composite
def primitive_cells(draw: st.DrawFn, lattice: str) -> Array:
    """A primitive cell in a random setting."""
    return draw(unimodular()) @ CENTRING[lattice[1]] @ draw(conventional_cells(lattice))


@st.composite
def unimodular(draw: st.DrawFn) -> Array:
    """A change of basis in whole numbers with determinant +1: a product of shears."""
    change = np.eye(3)
    for _ in range(draw(st.integers(0, 4))):
        i, j = draw(st.sampled_from([(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]))
        change[i] += draw(st.sampled_from([-2, -1, 1, 2])) * change[j]
    return change
