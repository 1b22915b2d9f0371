from __future__ import annotations

from typing import get_args

from typer.testing import CliRunner

import datagen.simulate.gsas2.engine
from curation.sandbox import FailureReason
from datagen.commands.app import app
from datagen.simulate.refusal import Unsimulable
from datagen.steps.reasons import BY_FAILURE, REFUSALS, SIMULATION_REASONS, XRD_PEAKS_REASONS
from datagen.store.density_codes import DENSITY_REASONS


def subclasses(kind: type[Unsimulable]) -> set[type[Unsimulable]]:
    return {kind for direct in kind.__subclasses__() for kind in (direct, *subclasses(direct))}


def test_every_end_of_a_structure_is_explained() -> None:
    assert datagen.simulate.gsas2.engine  # its refusals are known once it is loaded
    assert set(BY_FAILURE) == set(get_args(FailureReason))
    assert set(BY_FAILURE.values()) <= set(SIMULATION_REASONS)
    assert {kind.reason for kind in subclasses(Unsimulable)} <= set(SIMULATION_REASONS)


def test_every_reason_is_a_sentence_with_a_remedy() -> None:
    for reason in REFUSALS.values():
        assert reason.meaning.endswith(".")
        assert reason.remedy.endswith(".")


def test_the_command_lists_all_of_them() -> None:
    said = CliRunner().invoke(app, ["reasons"], env={"COLUMNS": "300"})
    assert said.exit_code == 0
    for code in (*REFUSALS, *XRD_PEAKS_REASONS, *(reason.code for reason in DENSITY_REASONS)):
        assert code in said.stdout
