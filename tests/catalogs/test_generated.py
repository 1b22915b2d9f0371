"""Generated crystals: positions of all groups, and crystals that depend on seed and number alone."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from catalogs.config import GeneratedCatalog
from catalogs.generated.cell import shape_quantiles
from catalogs.generated.crystal import generate
from catalogs.generated.groups import N_GROUPS, group
from catalogs.generated.kernel import (
    ANGLE_TOLERANCE_DEG,
    LENGTH_TOLERANCE_A,
    cell_vectors,
    draw_cell,
    lattice_rotations,
    reduce_cell,
    stream,
    uniform,
)
from catalogs.generated.limits import fewest_atoms, known_elements
from catalogs.generated.records import choices_of, records
from catalogs.generated.statistics import statistics
from curation.curate import curate_record
from curation.settings import CurationSettings

SHIFTS = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)
STEPS = list(itertools.product(range(-3, 4), repeat=2))


def test_the_groups_have_1731_wyckoff_positions_of_the_stated_multiplicity() -> None:
    assert sum(len(group(number).multiplicity) for number in range(1, N_GROUPS + 1)) == 1731
    for number in (1, 47, 166, 227):
        g = group(number)
        assert g.multiplicity[-1] * g.n_centring == len(g.rotations)
        assert np.diff(g.first_image).tolist() == g.multiplicity.tolist()


def test_a_crystal_depends_on_seed_and_number_alone() -> None:
    config = GeneratedCatalog(count=3, seed=5, space_groups=(225,))
    longer = GeneratedCatalog(count=4, seed=5, space_groups=(225,))
    assert list(records(config)) == list(records(longer))[:3]
    assert next(records(config)).licence == "CC0-1.0"
    other = GeneratedCatalog(count=1, seed=6, space_groups=(225,))
    assert next(records(other)).text != next(records(config)).text


def test_curation_finds_the_group_that_was_drawn() -> None:
    found = list(records(GeneratedCatalog(count=14, seed=3, space_groups=(2, 14, 62, 99, 148, 176, 225))))
    assert len({_stated_group(record.text) for record in found}) > 3
    for record in found:
        verdict = curate_record(record, CurationSettings())
        assert verdict.status == "accepted", verdict.reason
        assert verdict.space_group == _stated_group(record.text)


def test_only_the_elements_and_groups_that_are_asked_for_occur() -> None:
    asked = GeneratedCatalog(count=3, seed=1, space_groups=(221,), elements=("Cs", "Cl", "O"), max_atoms=20)
    for record in records(asked):
        verdict = curate_record(record, CurationSettings())
        assert verdict.space_group == 221
        assert verdict.formula is not None
        assert set(re.findall("[A-Z][a-z]?", verdict.formula)) <= {"Cs", "Cl", "O"}
        assert verdict.n_atoms_conventional is not None
        assert verdict.n_atoms_conventional <= 20


def test_random_numbers_are_those_of_numpy() -> None:
    ours = stream(2**63 - 5, 12345)
    theirs = np.random.Generator(np.random.Philox(key=2**63 - 5, counter=[0, 0, 0, 12345]))
    assert [uniform(ours) for _ in range(11)] == theirs.random(11).tolist()


def test_every_group_can_be_drawn_and_has_the_distances_that_its_elements_have() -> None:
    known = statistics()
    for number in range(1, N_GROUPS + 1):
        crystal = generate(choices_of(GeneratedCatalog(count=1, seed=number, space_groups=(number,))), 0)
        assert crystal is not None
        g = crystal.group
        images = np.concatenate([g.rotations @ x + g.translations for x in crystal.fractional])
        own = np.array([known.symbols.index(s) for s in crystal.symbols])
        d = crystal.fractional[:, None] - images
        d -= np.rint(d)
        r = np.linalg.norm((d[:, :, None] + SHIFTS) @ cell_vectors(np.array(crystal.cell)), axis=3)
        r[r < 1e-4] = np.inf
        required_A = known.shortest_A[np.ix_(own, np.repeat(own, len(g.rotations)))]
        assert (r.min(axis=2) >= required_A * (1 - 1e-6)).all(), number


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(sorted(statistics().shapes)))
def test_no_vector_of_a_reduced_cell_can_be_made_shorter(seed: int, lattice: str) -> None:
    cell, change = np.empty(6), np.empty((3, 3))
    if not draw_cell(shape_quantiles(lattice, statistics().shapes), 100.0, stream(seed, 0), cell):
        return
    vectors = cell_vectors(cell)
    reduced = reduce_cell(vectors, change)
    assert np.allclose(change @ vectors, reduced)
    assert np.linalg.det(change) == pytest.approx(1.0)
    lengths = np.linalg.norm(reduced, axis=1)
    assert (np.diff(lengths) >= -1e-6).all()
    for i in (1, 2):
        others = [reduced[i] + m * reduced[0] + (n * reduced[1] if i == 2 else 0.0) for m, n in STEPS]
        assert (np.linalg.norm(others, axis=1) >= lengths[i] * (1 - 1e-6)).all()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [((5, 5, 5, 90, 90, 90), 24), ((4, 4, 7, 90, 90, 120), 12), ((4, 5, 7, 90, 90, 90), 4), ((4, 5, 7, 80, 97, 68), 1)],
)
def test_lattices_have_the_rotations_of_their_system(cell: tuple[float, ...], expected: int) -> None:
    vectors = cell_vectors(np.array(cell, dtype=np.float64))
    found = np.empty((192, 3, 3))
    n = lattice_rotations(reduce_cell(vectors, np.empty((3, 3))), LENGTH_TOLERANCE_A, ANGLE_TOLERANCE_DEG, found)
    assert n == expected
    assert np.allclose(np.linalg.det(found[:n]), 1.0)


@pytest.mark.parametrize("is_one_element", [False, True])
def test_every_group_can_be_drawn_with_the_fewest_atoms_stated(is_one_element: bool) -> None:
    elements = ("Cu",) if is_one_element else ()
    for number in (1, 2, 19, 43, 75, 146, 199, 216, 225, 230):
        fewest = fewest_atoms(is_one_element)[number - 1]
        asked = GeneratedCatalog(count=1, space_groups=(number,), max_atoms=fewest, elements=elements)
        crystal = generate(choices_of(asked), 0)
        assert crystal is not None, number
        assert sum(crystal.multiplicity) == fewest


def test_groups_that_need_more_atoms_are_not_drawn() -> None:
    weights = choices_of(GeneratedCatalog(count=1, max_atoms=4)).group_weights
    assert [n for n in range(1, N_GROUPS + 1) if weights[n - 1]] == [
        n for n, least in enumerate(fewest_atoms(False), start=1) if least <= 4
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"elements": ("Na", "Xx", "na")},
            r"no statistics of 'Xx', 'na'; expected symbols such as 'Na' of these \d+ ele",
        ),
        (
            {"space_groups": (1, 227, 230), "max_atoms": 7},
            r"max_atoms = 7 is too few for space groups 227 \(at least 8\), 230",
        ),
        ({"space_groups": ()}, "space_groups is empty; expected numbers, 'uniform' or 'database'"),
        ({"space_groups": (231,)}, "less than or equal to 230"),
    ],
)
def test_what_cannot_be_generated_is_an_error(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GeneratedCatalog(count=1, **section)


def test_every_element_with_statistics_may_be_asked_for() -> None:
    assert GeneratedCatalog(count=1, elements=known_elements()).elements == statistics().symbols


def _stated_group(cif: str) -> int:
    found = re.search(r"_space_group_IT_number (\d+)", cif)
    assert found is not None
    return int(found[1])
