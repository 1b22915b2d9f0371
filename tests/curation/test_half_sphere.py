"""Which hkl a cell has, and how they are joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.reflections import MERGE_TOLERANCE, half_sphere, merge_groups
from tests.simulate.crystals import triclinic


@given(seed=st.integers(0, 10_000), q_min=st.floats(0.0, 0.6))
@settings(max_examples=30, deadline=None)
def test_the_half_sphere_is_complete_and_holds_one_of_each_pair(seed: int, q_min: float) -> None:
    lattice = triclinic(seed=seed, edge_A=4.0).lattice_A
    q_max = 0.8
    hkl, q2 = half_sphere(lattice, q_min, q_max)
    reach = int(np.linalg.norm(lattice, axis=1).max() * q_max) + 1
    everything = np.array(list(np.ndindex(2 * reach + 1, 2 * reach + 1, 2 * reach + 1))) - reach
    length = np.linalg.norm(everything @ np.linalg.inv(lattice).T, axis=1)
    expected = {tuple(h) for h in everything[(length >= max(q_min, 1e-9)) & (length <= q_max)].tolist()}
    found = {tuple(h) for h in hkl.tolist()}
    assert len(found) == len(hkl)
    assert not any(tuple(-i for i in h) in found for h in found)
    assert found | {tuple(-i for i in h) for h in found} == expected
    np.testing.assert_allclose(q2, np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=1) ** 2, rtol=1e-9)


def test_a_skewed_cell_of_the_same_lattice_has_the_same_lengths() -> None:
    lattice = triclinic().lattice_A
    skewed = np.array([[1, 3, -2], [0, 1, 4], [0, 0, 1]]) @ lattice
    a, b = (np.sort(half_sphere(cell, 0.1, 0.6)[1]) for cell in (lattice, skewed))
    np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize(
    ("q", "groups"),
    [
        ([], []),
        ([0.5], [0]),
        ([0.5, 0.5 * (1 + 0.9 * MERGE_TOLERANCE)], [0, 0]),
        ([0.5, 0.5 * (1 + 1.1 * MERGE_TOLERANCE)], [0, 1]),
        # A chain of near neighbours does not grow without end.
        ([0.5 * (1 + 0.6 * k * MERGE_TOLERANCE) for k in range(4)], [0, 0, 1, 1]),
    ],
)
def test_reflections_join_within_the_tolerance_and_no_farther(q: list[float], groups: list[int]) -> None:
    assert merge_groups(np.array(q, dtype=np.float64)).tolist() == groups
