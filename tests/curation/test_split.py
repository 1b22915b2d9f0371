from __future__ import annotations

from collections import Counter

import gemmi
import pytest
from pydantic import ValidationError

from curation.settings import CurationSettings, SplitSettings
from curation.split import group_of, split_of

DEFAULT = SplitSettings(train=0.8, validation=0.1, test=0.1)
GROUPS = [group_of(f"A{i}B", sg) for i in range(200) for sg in (14, 62, 225)]


def test_the_split_of_a_group_depends_on_group_and_seed_alone():
    assert [split_of(g, 1, DEFAULT) for g in GROUPS] == [split_of(g, 1, DEFAULT) for g in GROUPS]
    assert [split_of(g, 1, DEFAULT) for g in GROUPS] != [split_of(g, 2, DEFAULT) for g in GROUPS]


def test_splits_have_their_fractions():
    many = Counter(split_of(f"group{i}", 0, DEFAULT) for i in range(20_000))
    assert many["train"] / 20_000 == pytest.approx(0.8, abs=0.01)
    assert many["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert many["test"] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_a_larger_test_set_takes_from_its_neighbour_only():
    """Growing `test` at the cost of `validation` moves no structure out of training."""
    other = SplitSettings(train=0.8, validation=0.05, test=0.15)
    before, after = ([split_of(g, 0, s) for g in GROUPS] for s in (DEFAULT, other))
    assert all((a == "train") == (b == "train") for a, b in zip(before, after, strict=True))


def test_a_split_known_by_heart_stays():
    """Changing the hash would tear published datasets apart: this must never need editing."""
    known = {
        "ClNa_225": "train",
        "Si_227": "train",
        "O2Ti_136": "train",
        "Cu_225": "validation",
        "FeS2_205": "validation",
        "O3Y2_206": "test",
    }
    assert {g: split_of(g, 0, DEFAULT) for g in known} == known


def test_mirror_images_are_in_one_group():
    """The pairs follow from the operations: an inversion turns a group into one of another number."""
    partner = {}
    for number in range(1, 231):
        group = gemmi.find_spacegroup_by_number(number)
        mirrored = [gemmi.Op(op.wrap().triplet()) for op in group.operations()]
        for op in mirrored:
            op.tran = [-x for x in op.tran]
        found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([op.wrap() for op in mirrored]))
        if found is not None and found.number != number:
            partner[number] = found.number
    assert len(partner) == 22
    for number in range(1, 231):
        assert group_of("SiO2", number) == f"O2Si_{min(number, partner.get(number, number))}"


def test_fractions_must_sum_to_one():
    with pytest.raises(ValidationError, match=r"must be 1, not 1\.1"):
        SplitSettings(train=0.8, validation=0.1, test=0.2)


class TestSettings:
    def test_pairs_are_listed_tightest_first(self):
        s = CurationSettings(symprec_A=(0.1, 0.01, 0.05), angle_tolerance_deg=(5, 0.1))
        assert s.tolerance_pairs == ((0.01, 0.1), (0.01, 5), (0.05, 0.1), (0.05, 5), (0.1, 0.1), (0.1, 5))

    def test_twenty_kev_is_the_paper_s_wavelength(self):
        assert CurationSettings().wavelength_A == pytest.approx(0.619921, abs=1e-6)

    @pytest.mark.parametrize(
        "mistake",
        [
            {"symprec": (0.1,)},
            {"symprec_A": ()},
            {"symprec_A": (0.0,)},
            {"symprec_A": (0.1, 0.1)},
            {"angle_tolerance_deg": (-1.0,)},
            {"two_theta_min_deg": 20.0, "two_theta_max_deg": 5.0},
            {"displacement": "guess"},
            {"max_atoms": 0},
        ],
    )
    def test_mistakes_are_refused(self, mistake):
        with pytest.raises(ValidationError):
            CurationSettings(**mistake)

    def test_every_setting_is_described(self):
        for model in (CurationSettings, SplitSettings):
            assert all(f.description for f in model.model_fields.values())
