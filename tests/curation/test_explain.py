"""Verdicts explain themselves by the limits that curation decides by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curation.curate import curate_record
from curation.niggli import NIGGLI_TOLERANCE
from curation.settings import CurationSettings
from tests.curation.cifs import record, rock_salt

SALT = curate_record(record("salt"), CurationSettings())


def outcomes(verdict, settings=None) -> dict[str, str]:
    return {line.check: line.outcome for line in verdict.explain(settings).checks}


def test_an_accepted_verdict_passes_every_check():
    assert set(outcomes(SALT).values()) <= {"passed", "seen"}


@pytest.mark.parametrize("name", ["niggli_determinant", "niggli_volume_ratio"])
def test_what_curation_refuses_is_shown_as_failed(name):
    check = {"niggli_determinant": "its handedness", "niggli_volume_ratio": "its volume, relative"}[name]
    assert outcomes(replace(SALT, **{name: 1 + 50 * NIGGLI_TOLERANCE}))[check] == "failed"
    assert outcomes(replace(SALT, niggli_idempotence=2 * NIGGLI_TOLERANCE))["change when reduced again"] == "failed"


def test_a_refused_verdict_fails_where_it_was_refused():
    settings = CurationSettings(max_atoms=3)
    verdict = curate_record(record("salt"), settings)
    found = outcomes(verdict, settings)
    assert [check for check, outcome in found.items() if outcome == "failed"] == ["atoms"]
    assert found["reflections"] == "not reached"


def test_a_contradicted_formula_is_a_failed_check():
    cif = rock_salt().replace("loop_", "_chemical_formula_sum 'Na Br'\nloop_", 1)
    assert outcomes(curate_record(record("salt", cif), CurationSettings()))["formula"] == "failed"


def test_verdict_and_crystal_have_short_reprs():
    assert repr(SALT) == f"<Verdict salt: accepted, NaCl, space group 225, {SALT.split}>"
    assert repr(SALT.crystal).startswith("<Crystal NaCl: 2 sites, 3.9881 ")
    refused = curate_record(record("bad", "data_x\n"), CurationSettings())
    assert repr(refused).startswith(f"<Verdict bad: refused, {refused.reason}: ")


def test_the_explanation_escapes_foreign_text_in_a_notebook():
    verdict = replace(SALT, source_id="<b>x</b>")
    assert "<b>" not in verdict._repr_html_()
    assert "&lt;b&gt;" in verdict._repr_html_()
    assert "space group at 0.01 A, 0.1 deg" in repr(verdict.explain())
