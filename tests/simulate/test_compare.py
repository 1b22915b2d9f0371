"""`datagen compare-engines`: the agreement as a table, as JSON, and as an exit code."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from catalogs.example_set import FOLDER
from datagen.errors import DatagenError, EngineError
from datagen.inspect.compare_engines import (
    Comparison,
    Summary,
    agreement_table,
    errors_of,
    not_compared,
    summarise,
)
from datagen.inspect.engine_limits import DOUBLET, SHIFT, compared_points, limits_for
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.gsas2.process import PYTHON_VARIABLE
from datagen.simulate.instrument import Instrument
from tests.simulate.needs_gsas2 import require_gsas2
from tests.simulate.test_look import run

GOOD = Comparison(
    "a.cif", "NaCl", 225, errors=(1e-4, 2e-4), worst_at_deg=9.5, n_reflections=4, native_seconds=1e-3, gsas2_seconds=2.0
)


@pytest.fixture
def _a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsas2, "version", lambda: "5838")


def test_an_error_is_a_fraction_of_gsas2s_maximum() -> None:
    theirs = np.array([[0.0, 4.0, 2.0], [1.0, 0.0, 0.0]])
    ours = np.array([[0.0, 4.0, 1.0], [1.0, 0.5, 0.0]])
    np.testing.assert_allclose(errors_of(ours, theirs), [0.25, 0.5])
    np.testing.assert_allclose(errors_of(ours, theirs, 2), [0.0, 0.5])


STRICT = limits_for(Instrument.preset("alphadiffract"), AugmentationSettings())


def summary(comparisons: list[Comparison]) -> Summary:
    return summarise(comparisons, STRICT)


@pytest.mark.usefixtures("_a_version")
def test_the_summary_agrees_only_within_all_three_limits() -> None:
    many = [replace(GOOD, errors=(1e-4,) * 100)]
    assert summary(many).agree
    assert summary(many).ratio_median == pytest.approx(2000.0)
    assert not summary([*many, replace(GOOD, errors=(2e-2,))]).agree
    assert not summary([*many, replace(GOOD, errors=(2e-3,) * 20)]).agree
    assert not summary([replace(GOOD, errors=(5e-4,))]).agree
    assert not summary([*many, Comparison("b", "", None, reason="GSAS-II failed", failed=True)]).agree
    assert summary([*many, Comparison("b", "", None, reason="atoms_overlap")]).agree


@pytest.mark.parametrize(
    ("instrument", "settings", "intended"),
    [
        ("alphadiffract", {}, ()),
        ("cu_kalpha1", {}, ()),
        ("cu_kalpha", {}, (DOUBLET,)),
        ("mo_kalpha", {}, (DOUBLET,)),
        ("alphadiffract", {"preset": "realistic"}, (SHIFT,)),
        ("mo_kalpha", {"preset": "realistic"}, (DOUBLET, SHIFT)),
        ("alphadiffract", {"displacement_um": (5.0, 5.0)}, (SHIFT,)),
        ("alphadiffract", {"zero_shift_deg": (-0.1, 0.0)}, (SHIFT,)),
        ("alphadiffract", {"preset": "realistic", "displacement_um": (0, 0), "zero_shift_deg": (0, 0)}, ()),
    ],
)
@pytest.mark.usefixtures("_a_version")
def test_intended_differences_have_limits_of_their_own(
    instrument: str, settings: dict[str, Any], intended: tuple[str, ...]
) -> None:
    limits = limits_for(Instrument.preset(instrument), AugmentationSettings(**settings))
    assert limits.intended == intended
    strict = (STRICT.median, STRICT.p95, STRICT.max)
    figures = (limits.median, limits.p95, limits.max)
    assert figures == strict if not intended else all(a > b for a, b in zip(figures, strict, strict=True))
    at_the_limit = [replace(GOOD, errors=(limits.median,) * 94 + (limits.p95,) * 5 + (limits.max,))]
    found = summarise(at_the_limit, limits)
    assert found.agree
    assert all(words in found.sentence() for words in intended)
    assert ("docs/engine.md" in found.sentence()) == bool(intended)
    assert found.as_dict()["limits"]["intended"] == intended
    assert not summarise([*at_the_limit, replace(GOOD, errors=(1.01 * limits.max,))], limits).agree
    assert not summarise([replace(GOOD, errors=(1.01 * limits.median,))], limits).agree


def test_the_limits_of_a_doublet_grow_with_the_distance_of_its_lines() -> None:
    copper, molybdenum = (limits_for(Instrument.preset(n), AugmentationSettings()) for n in ("cu_kalpha", "mo_kalpha"))
    assert copper.median == pytest.approx(4.3e-3, rel=0.02)
    assert molybdenum.median == pytest.approx(1.0e-2, rel=0.02)


def test_only_doublets_are_not_compared_at_the_end_of_the_range() -> None:
    for name in ("alphadiffract", "cu_kalpha1"):
        assert compared_points(Instrument.preset(name)) == 8192
    doublet = Instrument.preset("cu_kalpha")
    n_points = compared_points(doublet)
    assert doublet.two_theta_deg[n_points - 1] < 89.0 <= doublet.two_theta_deg[n_points]


@pytest.mark.usefixtures("_a_version")
def test_nothing_compared_is_no_agreement() -> None:
    nothing = summary([Comparison("b", "", None, reason="bad_syntax")])
    assert not nothing.agree
    assert "Nothing was compared" in nothing.sentence()


def test_the_table_shows_the_worst_first_and_the_missing_apart() -> None:
    worse = replace(GOOD, name="w[1].cif", errors=(4e-3,))
    missing = Comparison("b.cif", "", None, reason="atoms_overlap [x]")
    console = Console(width=132, file=io.StringIO())
    console.print(agreement_table([GOOD, missing, worse], STRICT))
    for line in not_compared([GOOD, missing, worse]):
        console.print(line)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert 0 < text.index("w[1].cif") < text.index("a.cif") < text.index("b.cif")
    assert "atoms_overlap [x]" in text
    assert "2000×" in text


def test_without_gsas2_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(DatagenError, match=PYTHON_VARIABLE):
        run("compare-engines", FOLDER)


@pytest.fixture
def some_examples(tmp_path: Path) -> Path:
    folder = tmp_path / "cifs"
    folder.mkdir()
    for name in ("halite", "rutile", "quartz"):
        shutil.copy(FOLDER / f"{name}.cif", folder)
    (folder / "broken.cif").write_text("no CIF\n")
    return folder


@pytest.mark.gsas
def test_both_engines_agree_on_examples(some_examples: Path) -> None:
    require_gsas2()
    said = run("compare-engines", some_examples, "-n", "2")
    assert "The engines agree" in said
    assert "6 patterns of 3 structures; 1 not compared, 0 of them failed" in " ".join(said.split())
    told = json.loads(run("compare-engines", some_examples, "-n", "1", "--limit", "3", "--json"))
    assert told["summary"]["agree"] is True
    assert len(told["structures"]) == 3


@pytest.mark.gsas
@pytest.mark.parametrize("options", [("--instrument", "cu_kalpha"), ("--preset", "realistic")])
def test_intended_differences_are_agreement_and_larger_ones_are_not(
    some_examples: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, str]
) -> None:
    require_gsas2()
    said = " ".join(run("compare-engines", some_examples, "-n", "2", "--limit", "3", *options).split())
    assert "The engines agree" in said
    assert "The limits include intended differences" in said
    right = native.simulate

    def slightly_wrong(crystal, instrument, augmentations):  # type: ignore[no-untyped-def]
        return right(crystal, instrument, replace(augmentations, microstrain=augmentations.microstrain * 1.1))

    monkeypatch.setattr(native, "simulate", slightly_wrong)
    assert "The engines differ" in run("compare-engines", some_examples, "-n", "2", "--limit", "3", *options, code=1)


@pytest.mark.gsas
def test_engines_that_differ_or_fail_are_exit_code_1(some_examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_gsas2()
    right = native.simulate

    def slightly_wrong(crystal, instrument, augmentations):  # type: ignore[no-untyped-def]
        return right(crystal, instrument, augmentations.changed(microstrain=augmentations.microstrain * 1.1))

    monkeypatch.setattr(native, "simulate", slightly_wrong)
    assert "The engines differ" in run("compare-engines", some_examples, "-n", "1", code=1)

    def failing(*_: object) -> None:
        raise EngineError("GSAS-II failed: it said no\nand more")

    monkeypatch.setattr(native, "simulate", right)
    monkeypatch.setattr(gsas2, "simulate", failing)
    assert "it said no" in run("compare-engines", some_examples, "-n", "1", code=1)
