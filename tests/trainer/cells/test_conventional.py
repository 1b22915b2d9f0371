"""Free numbers of conventional cells: lines, symmetry, Niggli cells."""

from __future__ import annotations

from itertools import product

import gemmi
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curation.niggli import metric_of, reduce_metric
from trainer.prediction.cells import conventional as c
from trainer.prediction.cells.extinction import left
from trainer.training.bravais import BRAVAIS, bravais_of_groups

CELLS = {
    "a": (5.1, 6.2, 7.3, 81.0, 77.0, 95.0),
    "m": (5.1, 6.2, 7.3, 90.0, 107.0, 90.0),
    "o": (5.1, 6.2, 7.3, 90.0, 90.0, 90.0),
    "t": (5.1, 5.1, 7.3, 90.0, 90.0, 90.0),
    "h": (5.1, 5.1, 7.3, 90.0, 90.0, 120.0),
    "c": (5.1, 5.1, 5.1, 90.0, 90.0, 90.0),
}
CENTRING = {
    "P": [],
    "S": [(0.5, 0.5, 0)],
    "I": [(0.5, 0.5, 0.5)],
    "F": [(0.5, 0.5, 0), (0.5, 0, 0.5)],
    "R": [(2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
}
HKL = np.array([hkl for hkl in product(range(-3, 4), repeat=3) if hkl != (0, 0, 0)])


def cell_of(metric: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.diag(metric))
    cosines = [metric[i, j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.concatenate([lengths, np.degrees(np.arccos(cosines))])


def values_of(lattice: str) -> np.ndarray:
    metric = c.metrics_of(np.array([CELLS[lattice[0]]]))[0]
    return c.free_numbers(lattice, np.linalg.inv(metric))


@pytest.mark.parametrize("lattice", BRAVAIS)
def test_terms_times_free_numbers_are_the_squares_of_one_over_d(lattice: str) -> None:
    metric = np.linalg.inv(c.metrics_of(np.array([CELLS[lattice[0]]]))[0])
    values = values_of(lattice)
    assert len(values) == c.FREE[lattice[0]]
    wanted = np.einsum("ni,ij,nj->n", HKL, metric, HKL)
    np.testing.assert_allclose(c.terms(lattice, HKL) @ values, wanted, rtol=1e-12)
    np.testing.assert_allclose(c.reciprocal_metrics(lattice, values), metric, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("lattice", BRAVAIS)
def test_the_centring_leaves_what_its_translations_leave(lattice: str) -> None:
    wanted = np.ones(len(HKL), dtype=bool)
    for vector in CENTRING[lattice[1]]:
        wanted &= np.abs(HKL @ vector - np.round(HKL @ vector)) < 1e-9
    np.testing.assert_array_equal(c.present(lattice, HKL), wanted)


@pytest.mark.parametrize("lattice", BRAVAIS)
def test_the_niggli_cell_is_that_of_curation(lattice: str) -> None:
    """Two ways to reduce: by the shortest vectors here, by Křivý and Gruber's steps there."""
    metric = c.metrics_of(np.array([CELLS[lattice[0]]]))[0]
    primitive = np.linalg.cholesky(metric)
    primitive = c._PRIMITIVE[lattice[1]] @ primitive
    reduced = reduce_metric(metric_of(primitive), 1e-9) @ primitive
    np.testing.assert_allclose(c.niggli_cell(lattice, values_of(lattice)), cell_of(reduced @ reduced.T), atol=1e-5)
    volume = c.primitive_volume(lattice, values_of(lattice))
    assert volume == pytest.approx(abs(np.linalg.det(primitive)), rel=1e-9)


def test_numbers_without_a_volume_are_no_cell() -> None:
    cells = np.array([[0.04, 0.03, 0.02, 0.0], [0.04, 0.03, 0.02, 0.08], [-0.04, 0.03, 0.02, 0.0]])
    assert c.are_cells("mP", cells).tolist() == [True, False, False]
    assert c.are_cells("cF", np.array([[0.04], [0.0]])).tolist() == [True, False]


@given(st.sampled_from(BRAVAIS), st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6))
def test_niggli_cells_are_those_of_curation(lattice: str, drawn: list[float]) -> None:
    """Of cells whose edges differ, where two programs may not take different ones for equal."""
    family, (a, b, c_, *angles) = lattice[0], drawn
    lengths = np.array([4.0 + 2.0 * a, 6.5 + 2.0 * b, 9.0 + 3.0 * c_])
    skew = 70.0 + 45.0 * np.array(angles)
    cell = np.array([*lengths, 90.0, 90.0, 90.0])
    if family in "thc":
        cell[1] = cell[0]
    if family == "c":
        cell[2] = cell[0]
    if family == "h":
        cell[5] = 120.0
    if family == "m":
        cell[4] = 92.0 + 35.0 * angles[0]
    if family == "a":
        cell[3:] = skew
    metric = c.metrics_of(cell[None])[0]
    assume(np.linalg.det(metric) > 0.2 * np.prod(cell[:3]) ** 2)
    values = c.free_numbers(lattice, np.linalg.inv(metric))
    primitive = c._PRIMITIVE[lattice[1]] @ np.linalg.cholesky(metric)
    reduced = reduce_metric(metric_of(primitive), 1e-7) @ primitive
    wanted, found = cell_of(reduced @ reduced.T), c.niggli_cell(lattice, values)
    np.testing.assert_allclose(found[:3], wanted[:3], rtol=1e-5)
    np.testing.assert_allclose(np.sort(found[3:]), np.sort(wanted[3:]), atol=1e-2)


@pytest.mark.parametrize("group", range(1, 231))
def test_a_group_leaves_the_reflections_that_gemmi_says(group: int) -> None:
    """In the standard setting, one of the choices of axes; in none those that the lattice's centring takes."""
    lattice = BRAVAIS[bravais_of_groups()[group - 1]]
    operations = gemmi.find_spacegroup_by_number(group).operations()
    # The lattice is C-centred, these groups are A-centred: l, h, k of the one are h, k, l of the other.
    indices = HKL[:, [2, 0, 1]] if group in range(38, 42) else HKL
    wanted = ~operations.systematic_absences(np.ascontiguousarray(indices, dtype=np.int32))
    choices = left(group, lattice, HKL)
    assert any((kept == wanted).all() for kept in choices)
    assert not any((kept & ~c.present(lattice, HKL)).any() for kept in choices)


def test_a_glide_leaves_what_each_choice_of_axes_leaves() -> None:
    along_c, along_a, diagonal = left(14, "mP", HKL)
    h, k, l = HKL.T  # noqa: E741
    zone, axis = k == 0, (h == 0) & (l == 0)
    for kept, odd in ((along_c, l % 2 == 1), (along_a, h % 2 == 1), (diagonal, (h + l) % 2 == 1)):
        np.testing.assert_array_equal(kept, ~((zone & odd) | (axis & (k % 2 == 1))))
