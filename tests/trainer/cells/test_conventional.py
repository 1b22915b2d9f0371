"""Free numbers of conventional cells: lines, symmetry, Niggli cells."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

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
    """Two programs reduce: gemmi here, Křivý and Gruber's steps there."""
    metric = c.metrics_of(np.array([CELLS[lattice[0]]]))[0]
    primitive = np.linalg.cholesky(metric)
    primitive = c._PRIMITIVE[lattice[1]] @ primitive
    reduced = reduce_metric(metric_of(primitive), 1e-9) @ primitive
    np.testing.assert_allclose(c.niggli_cell(lattice, values_of(lattice)), c.cell_of(reduced @ reduced.T), atol=1e-5)
    volume = c.primitive_volume(lattice, values_of(lattice))
    assert volume == pytest.approx(abs(np.linalg.det(primitive)), rel=1e-9)


def test_numbers_without_a_volume_are_no_cell() -> None:
    cells = np.array([[0.04, 0.03, 0.02, 0.0], [0.04, 0.03, 0.02, 0.08], [-0.04, 0.03, 0.02, 0.0]])
    assert c.are_cells("mP", cells).tolist() == [True, False, False]
    assert c.are_cells("cF", np.array([[0.04], [0.0]])).tolist() == [True, False]


@pytest.mark.parametrize("group", range(1, 231))
def test_a_group_leaves_reflections_that_its_centring_leaves(group: int) -> None:
    """In every choice of axes: a wrong one would have the centring of other axes."""
    lattice = BRAVAIS[bravais_of_groups()[group - 1]]
    present = c.present(lattice, HKL)
    choices = left(group, lattice, HKL)
    assert choices
    for kept in choices:
        assert kept.any()
        assert not (kept & ~present).any()


def test_a_glide_leaves_what_each_choice_of_axes_leaves() -> None:
    along_c, along_a, diagonal = left(14, "mP", HKL)
    h, k, l = HKL.T  # noqa: E741
    zone, axis = k == 0, (h == 0) & (l == 0)
    for kept, odd in ((along_c, l % 2 == 1), (along_a, h % 2 == 1), (diagonal, (h + l) % 2 == 1)):
        np.testing.assert_array_equal(kept, ~((zone & odd) | (axis & (k % 2 == 1))))
