"""Generated crystals: positions of all groups, and crystals that depend on seed and number alone."""

from __future__ import annotations

import re

import numpy as np

from catalogs.config import GeneratedCatalog
from catalogs.generated.groups import N_GROUPS, group
from catalogs.generated.records import records
from curation.curate import curate_record
from curation.settings import CurationSettings


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


def _stated_group(cif: str) -> int:
    found = re.search(r"_space_group_IT_number (\d+)", cif)
    assert found is not None
    return int(found[1])
