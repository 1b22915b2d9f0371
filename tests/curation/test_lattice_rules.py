from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.lattice_rules import LATTICES, bravais_lattice, lattice_deviation
from curation.niggli import metric_of, reduce_metric
from tests.curation import lattices
from tests.curation.lattices import CENTRING, conventional_cells, primitive_cells

few = settings(max_examples=80, deadline=None, derandomize=True)
EVERY_LATTICE = pytest.mark.parametrize("lattice", lattices.LATTICES)

LESS_SYMMETRIC = {
    "cP": ("tP", "hR", "oP", "oS", "mP", "mS", "aP"),
    "cI": ("tI", "hR", "oI", "oF", "mS", "aP"),
    "cF": ("tI", "hR", "oI", "oF", "mS", "aP"),
    "hP": ("oS", "mP", "mS", "aP"),
    "hR": ("mS", "aP"),
    "tP": ("oP", "oS", "mP", "mS", "aP"),
    "tI": ("oI", "oF", "mS", "aP"),
    "oP": ("mP", "aP"),
    "oS": ("mP", "mS", "aP"),
    "oI": ("mS", "aP"),
    "oF": ("mS", "aP"),
    "mP": ("aP",),
    "mS": ("aP",),
}
"""Lattices that a crystal of less symmetry can have whose cell happens to be more symmetric."""


def reduced_metric(cell):
    return metric_of(reduce_metric(metric_of(cell)) @ cell)


def test_there_are_fourteen():
    assert set(LATTICES) == set(lattices.LATTICES)


@EVERY_LATTICE
@few
@given(data=st.data())
def test_every_reduced_cell_shows_the_equalities_of_its_lattice(lattice, data):
    deviation, _ = lattice_deviation(reduced_metric(data.draw(primitive_cells(lattice))), lattice)
    assert deviation < 2e-6


@pytest.mark.parametrize("lattice", LESS_SYMMETRIC)
@few
@given(data=st.data())
def test_a_lattice_more_symmetric_than_its_crystal_passes(lattice, data):
    metric = reduced_metric(data.draw(primitive_cells(lattice)))
    for lower in LESS_SYMMETRIC[lattice]:
        assert lattice_deviation(metric, lower)[0] < 2e-6, lower


STRAIN = np.array([[0.012, 0.008, -0.006], [0.008, -0.011, 0.009], [-0.006, 0.009, 0.003]])


@pytest.mark.parametrize("lattice", [name for name in lattices.LATTICES if name != "aP"])
@few
@given(data=st.data())
def test_a_strained_cell_is_off_by_more_than_a_thousandth(lattice, data):
    """The cell is reduced before it is strained, as by the averaged metric of its crystal's own rotations."""
    cell = CENTRING[lattice[1]] @ data.draw(conventional_cells(lattice))
    cell = reduce_metric(metric_of(cell)) @ cell
    assert lattice_deviation(metric_of(cell @ (np.eye(3) + STRAIN)), lattice)[0] > 1e-3


@pytest.mark.parametrize("lattice", [name for name in lattices.LATTICES if name != "aP"])
@few
@given(data=st.data())
def test_noise_far_below_the_tolerance_passes(lattice, data):
    cell = CENTRING[lattice[1]] @ data.draw(conventional_cells(lattice))
    cell = reduce_metric(metric_of(cell)) @ cell
    assert lattice_deviation(metric_of(cell @ (np.eye(3) + 0.01 * STRAIN)), lattice)[0] < 1e-3


@pytest.mark.parametrize(
    ("lattice", "form", "cell"),
    [
        ("cF", 1, [[0, 2, 2], [2, 0, 2], [2, 2, 0]]),
        ("cP", 3, [[4, 0, 0], [0, 4, 0], [0, 0, 4]]),
        ("cI", 5, [[-2, 2, 2], [2, -2, 2], [2, 2, -2]]),
        ("tP", 11, [[4, 0, 0], [0, 4, 0], [0, 0, 5]]),
        ("tP", 21, [[4, 0, 0], [0, 4, 0], [0, 0, 3]]),
        ("hP", 12, [[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]]),
        ("hP", 22, [[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 2]]),
        ("oP", 32, [[3, 0, 0], [0, 4, 0], [0, 0, 5]]),
    ],
)
def test_textbook_cells_have_their_form(lattice, form, cell):
    assert lattice_deviation(reduced_metric(np.array(cell, dtype=float)), lattice) == (pytest.approx(0, abs=1e-9), form)


@pytest.mark.parametrize(
    ("number", "symbol", "lattice"),
    [
        (1, "P1", "aP"),
        (2, "P-1", "aP"),
        (5, "C2", "mS"),
        (14, "P2_1/c", "mP"),
        (38, "Amm2", "oS"),
        (70, "Fddd", "oF"),
        (74, "Imma", "oI"),
        (139, "I4/mmm", "tI"),
        (146, "R3", "hR"),
        (167, "R-3c", "hR"),
        (164, "P-3m1", "hP"),
        (194, "P6_3/mmc", "hP"),
        (195, "P23", "cP"),
        (227, "Fd-3m", "cF"),
        (230, "Ia-3d", "cI"),
    ],
)
def test_a_space_group_has_its_lattice(number, symbol, lattice):
    assert bravais_lattice(number, symbol) == lattice
