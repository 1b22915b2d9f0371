from __future__ import annotations

import numpy as np
import pytest

from curation.atoms import Atoms, cell_matrix
from curation.reflections import count_reflections

WAVELENGTH_A = 12.398419843320026 / 20


def cubic(a: float, *sites) -> Atoms:
    names = list(dict.fromkeys(name for name, *_ in sites))
    return Atoms(
        cell_matrix(a, a, a, 90, 90, 90),
        np.array([xyz for _, *xyz in sites], dtype=float),
        np.array([names.index(name) for name, *_ in sites], dtype=np.intc),
        tuple(((name, 1.0, 0.01),) for name in names),
    )


def sums_of_squares_up_to(limit: float, keep=lambda h, k, m: True) -> set[int]:
    r = range(-12, 13)
    sums = {h * h + k * k + m * m for h in r for k in r for m in r if keep(h, k, m)}
    return {n for n in sums if 0 < n <= limit}


@pytest.mark.parametrize("a", [3.35, 4.12, 5.43, 8.9])
def test_a_primitive_cubic_crystal_shows_every_sum_of_three_squares(a):
    two_theta = (2.0, 20.0)
    limit = (2 * a * np.sin(np.radians(10)) / WAVELENGTH_A) ** 2
    expected = sums_of_squares_up_to(limit)
    assert count_reflections(cubic(a, ("Po", 0, 0, 0)), WAVELENGTH_A, two_theta) == len(expected)


def test_body_centring_forbids_odd_sums():
    a = 2.87
    atoms = cubic(a, ("Fe", 0, 0, 0), ("Fe", 0.5, 0.5, 0.5))
    limit = (2 * a * np.sin(np.radians(15)) / WAVELENGTH_A) ** 2
    expected = sums_of_squares_up_to(limit, lambda h, k, m: (h + k + m) % 2 == 0)
    assert count_reflections(atoms, WAVELENGTH_A, (5.0, 30.0)) == len(expected)


def test_but_not_of_two_kinds():
    a = 2.9
    ordered = cubic(a, ("Al", 0, 0, 0), ("Ni", 0.5, 0.5, 0.5))
    limit = (2 * a * np.sin(np.radians(10)) / WAVELENGTH_A) ** 2
    assert count_reflections(ordered, WAVELENGTH_A, (5.0, 20.0)) == len(sums_of_squares_up_to(limit))


def test_a_range_without_lattice_points_is_empty():
    assert count_reflections(cubic(1.5, ("H", 0, 0, 0)), WAVELENGTH_A, (5.0, 20.0)) == 0


def test_a_larger_cell_of_the_same_crystal_shows_the_same():
    small = cubic(3.0, ("Po", 0, 0, 0))
    shifts = [(i / 2, j / 2, k / 2) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    large = cubic(6.0, *[("Po", *s) for s in shifts])
    assert count_reflections(small, WAVELENGTH_A, (5.0, 40.0)) == count_reflections(large, WAVELENGTH_A, (5.0, 40.0))
