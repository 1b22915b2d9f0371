from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.atoms import cell_matrix, cell_parameters
from curation.niggli import metric_of, reduce_metric
from tests.curation.lattices import LATTICES, primitive_cells

EVERY_LATTICE = pytest.mark.parametrize("lattice", LATTICES)
few = settings(max_examples=60, deadline=None, derandomize=True)


@EVERY_LATTICE
@few
@given(data=st.data())
def test_reduced_cell_is_gemmis(lattice, data):
    cell = data.draw(primitive_cells(lattice))
    reduced = reduce_metric(metric_of(cell)) @ cell
    vector = gemmi.GruberVector(gemmi.UnitCell(*cell_parameters(cell)), "P")
    vector.niggli_reduce(epsilon=1e-6 * abs(np.linalg.det(cell)) ** (2 / 3))
    np.testing.assert_allclose(cell_parameters(reduced), vector.cell_parameters(), rtol=2e-5, atol=1e-4)


@EVERY_LATTICE
@few
@given(data=st.data())
def test_reduction_keeps_handedness_and_volume_and_is_its_own(lattice, data):
    cell = data.draw(primitive_cells(lattice))
    change = reduce_metric(metric_of(cell))
    assert round(float(np.linalg.det(change))) == 1
    reduced = change @ cell
    assert np.linalg.det(reduced) == pytest.approx(np.linalg.det(cell))
    again = reduce_metric(metric_of(reduced)) @ reduced
    np.testing.assert_allclose(metric_of(again), metric_of(reduced), rtol=1e-6, atol=1e-6)


@EVERY_LATTICE
@few
@given(data=st.data())
def test_reduced_cell_meets_niggli_s_main_conditions(lattice, data):
    """a <= b <= c, and each dot product at most half of the shorter square, all positive or none."""
    cell = data.draw(primitive_cells(lattice))
    a, b, c, d, e, f = metric_of(reduce_metric(metric_of(cell)) @ cell)
    eps = 1e-5 * c
    assert a <= b + eps
    assert b <= c + eps
    assert abs(d) <= b / 2 + eps
    assert abs(e) <= a / 2 + eps
    assert abs(f) <= a / 2 + eps
    assert min(d, e, f) > -eps or max(d, e, f) < eps
    if max(d, e, f) < eps:
        assert abs(d + e + f) <= (a + b) / 2 + 2 * eps


def test_fcc_reduces_to_sixty_degrees():
    primitive = np.array([[0, 2, 2], [2, 0, 2], [2, 2, 0]]) * 1.0
    skewed = np.array([[1, 3, 0], [0, 1, 0], [2, 0, 1]]) @ primitive
    parameters = cell_parameters(reduce_metric(metric_of(skewed)) @ skewed)
    assert parameters == pytest.approx((np.sqrt(8),) * 3 + (60.0,) * 3)


def test_krivy_and_gruber_s_own_example():
    """Krivy & Gruber, Acta Cryst. A32 (1976) 297: their worked example and its reduced form."""
    squares = (9.0, 27.0, 4.0, -5.0, -4.0, -22.0)
    a, b, c = (np.sqrt(v) for v in squares[:3])
    angles = [np.degrees(np.arccos(v / 2 / w)) for v, w in zip(squares[3:], (b * c, a * c, a * b), strict=True)]
    cell = cell_matrix(a, b, c, *angles)
    reduced = metric_of(reduce_metric(metric_of(cell)) @ cell)
    expected = (4.0, 9.0, 9.0, 9 / 2, 3 / 2, 4 / 2)
    assert reduced == pytest.approx(expected)


def test_a_metric_without_volume_is_refused():
    with pytest.raises(ArithmeticError, match="volume"):
        reduce_metric((1.0, 1.0, 1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("lengths", "angles"),
    [
        # Rb2NiF4 (139) and Cd(InSe2)2 (121), scaled and written with six decimals: both cycled under one tolerance.
        ((4.106476, 4.106476, 7.434101), (106.033054878, 106.033056219, 89.999991422)),
        ((5.57368, 5.57368, 6.976586), (113.544180954, 113.544181029, 90.0000064751)),
    ],
)
def test_rounding_as_large_as_the_tolerance_does_not_make_it_cycle(lengths, angles):
    cell = cell_matrix(*lengths, *angles)
    reduced = reduce_metric(metric_of(cell)) @ cell
    assert np.linalg.det(reduced) == pytest.approx(np.linalg.det(cell))


@EVERY_LATTICE
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_rounded_cells_of_any_scale_are_reduced(lattice, data):
    """Lengths with a few decimals, angles with as many: equalities hold to the rounding only."""
    cell = data.draw(primitive_cells(lattice))
    scale, decimals = data.draw(st.floats(0.94, 1.06)), data.draw(st.integers(3, 8))
    rounded = cell_matrix(*np.round(np.array(cell_parameters(cell * scale)), decimals))
    change = reduce_metric(metric_of(rounded))
    assert round(float(np.linalg.det(change))) == 1
    assert max(metric_of(change @ rounded)[:3]) <= max(metric_of(rounded)[:3]) * (1 + 1e-9)
