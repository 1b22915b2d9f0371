from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.atoms import Atoms, cell_matrix
from curation.same_crystal import same_crystal


def _atoms(fractional: NDArray[np.float64], kind: list[int]) -> Atoms:
    lattice = cell_matrix(5.0, 6.0, 7.0, 85.0, 95.0, 100.0)
    return Atoms(lattice, fractional, np.array(kind, dtype=np.intc), ((("Fe", 1.0, 0.01),), (("O", 1.0, 0.01),)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 12))
def test_a_crystal_is_the_same_after_a_shift_and_in_another_order(seed: int, n: int) -> None:
    chance = np.random.default_rng(seed)
    places, kind = chance.random((n, 3)), chance.integers(0, 2, n)
    order = chance.permutation(n)
    moved = (places + chance.random(3) + chance.integers(-2, 3, (n, 3)))[order]
    one = _atoms(places, kind.tolist())
    assert same_crystal(one, _atoms(moved, kind[order].tolist()), 1e-3)
    assert not same_crystal(one, _atoms(moved, (1 - kind[order]).tolist()), 1e-3)
    if n > 2:
        moved[0] += [0.01, 0.0, 0.0]
        assert not same_crystal(one, _atoms(moved, kind[order].tolist()), 1e-3)


def test_two_atoms_have_no_counterpart_in_common() -> None:
    one = _atoms(np.array([[0, 0, 0], [0.5, 0, 0], [0.5002, 0, 0]]), [0, 0, 0])
    other = _atoms(np.array([[0, 0, 0], [0.5, 0, 0], [0.25, 0, 0]]), [0, 0, 0])
    assert same_crystal(one, one, 0.01)
    assert not same_crystal(one, other, 0.01)
