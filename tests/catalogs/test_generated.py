"""Generated crystals: positions of all groups, and crystals that depend on seed and number alone."""

from __future__ import annotations

import numpy as np

from catalogs.config import GeneratedCatalog
from catalogs.generated.groups import N_GROUPS, group
from catalogs.generated.records import records


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
    assert next(records(other)).cif != next(records(config)).cif
