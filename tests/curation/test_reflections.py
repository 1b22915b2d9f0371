from __future__ import annotations

import numpy as np
import pytest

from curation.atoms import cell_matrix
from curation.crystal import Crystal
from curation.reflections import count_reflections, merge_peaks
from curation.settings import HC_KEV_A

WAVELENGTH_A = HC_KEV_A / 20


def cubic(a: float, *sites) -> Crystal:
    names = [name for name, *_ in sites]
    return Crystal.canonical(cell_matrix(a, a, a, 90, 90, 90), names, np.ones(len(names)), [xyz for _, *xyz in sites])


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


def test_a_chain_of_close_reflections_is_no_single_peak():
    """Each is within the tolerance of the one before, but not of the first."""
    q = 1.0 + 3e-6 * np.arange(4)
    group, intensity, present = merge_peaks(q, np.array([1.0, 1.0, 1e-10, 1e-10]))
    assert group.tolist() == [0, 0, 1, 1]
    assert intensity.tolist() == [2.0, 2e-10]
    assert present.tolist() == [True, False]


def test_a_range_with_absent_reflections_only_is_empty():
    """Body centring forbids 100: rounding leaves an |F| that is no reflection, though it is the strongest."""
    a = 4.0
    atoms = cubic(a, ("Fe", 0.1, 0.2, 0.3), ("Fe", 0.6, 0.7, 0.8))
    angle = float(np.degrees(2 * np.arcsin(WAVELENGTH_A / 2 / a)))
    assert count_reflections(atoms, WAVELENGTH_A, (angle - 0.5, angle + 0.5)) == 0


def test_curation_counts_the_peaks_that_simulation_has():
    """Triclinic cells, close reflections among them: as many as `compute_sticks` returns."""
    from datagen.simulate.instrument import PRESETS
    from datagen.simulate.sticks import compute_sticks

    instrument = PRESETS["alphadiffract"]
    limits = instrument.two_theta_min_deg, instrument.two_theta_max_deg
    rng = np.random.default_rng(3)
    for _ in range(20):
        cell = cell_matrix(*rng.uniform(3, 12, 3), *rng.uniform(70, 110, 3))
        crystal = Crystal.canonical(cell, ["Fe", "O", "Si"], np.ones(3), rng.random((3, 3)))
        assert count_reflections(crystal, instrument.lines[0].wavelength_A, limits) == len(
            compute_sticks(crystal, instrument)
        )
