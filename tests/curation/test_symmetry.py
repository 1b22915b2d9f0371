from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from curation import symmetry
from curation.atoms import Atoms, cell_matrix
from curation.niggli import metric_of, reduce_metric
from curation.pseudosymmetry import more_symmetry_within
from curation.settings import CurationSettings
from curation.symmetry import (
    change_basis,
    largest_misfit,
    primitive_cell,
    search,
    search_grid,
    symmetrised_metric,
)

PAIRS = CurationSettings().tolerance_pairs


def atoms_of(cell, *sites) -> Atoms:
    kinds = {name: n for n, name in enumerate(dict.fromkeys(name for name, *_ in sites))}
    return Atoms(
        cell_matrix(*cell),
        np.array([xyz for _, *xyz in sites], dtype=float),
        np.array([kinds[name] for name, *_ in sites], dtype=np.intc),
        tuple(((name, 1.0, 0.01),) for name in kinds),
    )


def perovskite(shift: float = 0.0, a: float = 4.0, c: float = 4.0) -> Atoms:
    return atoms_of(
        (a, a, c, 90, 90, 90),
        ("Ba", 0, 0, 0),
        ("Ti", 0.5, 0.5, 0.5 + shift / c),
        ("O", 0.5, 0.5, 0),
        ("O", 0.5, 0, 0.5),
        ("O", 0, 0.5, 0.5),
    )


def reduced_primitive(atoms: Atoms):
    first = search(atoms, PAIRS[0])
    primitive = primitive_cell(atoms, first)
    return first, change_basis(primitive, reduce_metric(metric_of(np.linalg.cholesky(symmetrised_metric(primitive)))))


def grid(atoms: Atoms, min_distance_A: float = 1.5):
    first, primitive = reduced_primitive(atoms)
    return [
        None if r is None else r.number for r in search_grid(atoms, primitive, first, PAIRS, min_distance_A).results
    ]


@pytest.mark.parametrize(
    "shift", [0.0, 0.001, 0.004, 0.006, 0.009, 0.011, 0.02, 0.05, 0.09, 0.11, 0.15, 0.19, 0.21, 0.5]
)
@pytest.mark.parametrize("c", [4.0, 4.005, 4.05, 4.3])
def test_the_grid_is_what_a_search_at_every_pair_finds(shift, c):
    atoms = perovskite(shift, c=c)
    assert grid(atoms) == [search(atoms, pair).number for pair in PAIRS]


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_and_so_it_is_for_random_small_crystals(data):
    """Coordinates on a coarse grid with small displacements: full of near symmetry."""
    edges = data.draw(st.tuples(*[st.sampled_from([4.0, 4.02, 4.15, 5.0])] * 3))
    angles = data.draw(st.tuples(*[st.sampled_from([90.0, 90.05, 91.0, 93.0, 97.0])] * 3))
    places = data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=6, unique=True))
    noise = data.draw(st.sampled_from([0.0, 0.002, 0.02, 0.06, 0.12]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    names = data.draw(st.lists(st.sampled_from(["Fe", "O"]), min_size=len(places), max_size=len(places)))
    sites = [
        (name, *(np.array(p) / 4 + noise * (rng.random(3) - 0.5) / 4)) for name, p in zip(names, places, strict=True)
    ]
    atoms = atoms_of((*edges, *angles), *sites)
    if search(atoms, PAIRS[0]) is None:
        return
    expected = [search(atoms, pair) for pair in PAIRS]
    assert grid(atoms, 0.8) == [None if r is None else r.number for r in expected]


def test_one_search_is_enough_where_nothing_is_left_open(monkeypatch):
    atoms = perovskite(0.5)
    first, primitive = reduced_primitive(atoms)
    monkeypatch.setattr(symmetry, "search", None)
    found = search_grid(atoms, primitive, first, PAIRS, 1.5)
    assert [r.number for r in found.results] == [99] * 4
    assert found.in_reverse is None


def test_sites_within_reach_of_one_another_are_searched_at_every_pair():
    atoms = perovskite(0.5)
    first, primitive = reduced_primitive(atoms)
    assert search_grid(atoms, primitive, first, PAIRS, 0.15).in_reverse == (99,) * 4


@pytest.mark.parametrize(
    ("shift", "reach", "more"), [(0.0, 0.1, False), (0.05, 0.1, True), (0.5, 0.1, False), (0.5, 0.6, True)]
)
def test_pseudosymmetry_is_seen_within_reach_only(shift, reach, more):
    _, primitive = reduced_primitive(perovskite(shift))
    assert more_symmetry_within(primitive.atoms, primitive.rotations, 0.01, reach, 5.0) is more


def test_a_nearly_equal_edge_is_seen():
    _, primitive = reduced_primitive(perovskite(0.0, c=4.05))
    assert more_symmetry_within(primitive.atoms, primitive.rotations, 0.01, 0.1, 5.0)
    assert not more_symmetry_within(primitive.atoms, primitive.rotations, 0.01, 0.04, 5.0)


def test_a_nearly_smaller_cell_is_seen():
    """Two halves of a doubled cell that differ by 0.05 A in one atom."""
    half = [("Ba", 0, 0, 0), ("Ti", 0.5, 0.5, 0.22)]
    doubled = [(name, x, y, z / 2 + n / 2) for n in (0, 1) for name, x, y, z in half]
    doubled[-1] = (*doubled[-1][:3], doubled[-1][3] + 0.05 / 9)
    _, primitive = reduced_primitive(atoms_of((4, 4.4, 9, 90, 90, 90), *doubled))
    assert primitive.atoms.n_sites == 4
    assert more_symmetry_within(primitive.atoms, primitive.rotations, 0.01, 0.1, 5.0)


def test_operations_misfit_by_what_the_atoms_are_off():
    _, exact = reduced_primitive(perovskite(0.0))
    assert largest_misfit(exact) == pytest.approx(0.0, abs=1e-9)
    _, off = reduced_primitive(perovskite(0.004))
    assert len(off.rotations) == 48
    assert 0.003 < largest_misfit(off) < 0.009


def test_the_primitive_cell_does_not_know_the_order_of_the_atoms():
    cubic = cell_matrix(5.64, 5.64, 5.64, 90, 90, 90)
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    fractional = np.concatenate([corners, corners + 0.5])
    kind = np.repeat([0, 1], 4).astype(np.intc)
    cells = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(8)
        atoms = Atoms(cubic, fractional[order], kind[order], ((("Na", 1.0, 0.01),), (("Cl", 1.0, 0.01),)))
        cells.append(primitive_cell(atoms, search(atoms, PAIRS[0])).atoms.lattice_A)
    assert all((c == cells[0]).all() for c in cells)
    assert np.linalg.det(cells[0]) == pytest.approx(5.64**3 / 4)


def test_no_space_group_is_none():
    assert search(atoms_of((4, 4, 4, 90, 90, 90), ("Fe", 0, 0, 0), ("Fe", 0, 0, 0.001)), PAIRS[0]) is None
