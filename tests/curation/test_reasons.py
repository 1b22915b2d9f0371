from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalogs.defects import DEFECTS
from curation.reasons import REASONS, WARNINGS, Refused

CURATION = Path(__file__).resolve().parents[2] / "curation"
SOURCE = "\n".join(p.read_text() for p in sorted(CURATION.glob("*.py")) if p.name != "reasons.py")


def test_every_reason_that_the_code_gives_is_explained():
    given = set(re.findall(r'Refused\(\s*"(\w+)"', SOURCE))
    assert given
    assert given <= set(REASONS)


def test_every_reason_of_a_check_is_given_somewhere():
    for reason in REASONS.values():
        if reason.stage not in ("source", "sandbox"):
            assert f'"{reason.code}"' in SOURCE, reason.code


def test_every_warning_that_the_code_gives_is_explained_and_the_other_way_round():
    quoted = set(re.findall(r'"([a-z]+_[a-z_]+|modulated|magnetic)"', SOURCE))
    assert set(WARNINGS) <= quoted
    given = set(re.findall(r'(?:warnings|remarks)\.(?:add|append)\("(\w+)"\)', SOURCE))
    assert given <= set(WARNINGS)


def test_defects_of_sources_are_reasons():
    assert {code for code, r in REASONS.items() if r.stage == "source"} == set(DEFECTS)


@pytest.mark.parametrize("one", [*REASONS.values(), *WARNINGS.values()], ids=lambda one: one.code)
def test_meaning_and_remedy_are_sentences(one):
    for text in (one.meaning, one.remedy):
        assert text[0].isupper() or text.startswith("_")
        assert text.endswith(".")


def test_an_unknown_code_cannot_be_given():
    with pytest.raises(KeyError):
        Refused("because", "I say so")
