from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from datagen.commands import doctor
from datagen.commands.doctor import REQUIRED, Finding, examine, healthy
from datagen.simulate.gsas2 import process


def test_this_machine_is_well_and_every_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PXRD_GSAS2_PYTHON", "/nowhere/python")
    process.close()
    findings = list(examine())
    assert healthy(findings), [f for f in findings if f.status == "problem"]
    parts = {finding.part: finding for finding in findings}
    assert {"python", "machine", "native engine", "scratch", "batch system", *REQUIRED} <= set(parts)
    assert parts["GSAS-II"].status == "optional"
    assert parts["GSAS-II"].fact == "GSAS-II cannot be started with /nowhere/python: No such file or directory"
    assert process.HOW_TO_GET_IT in parts["GSAS-II"].remedy


def test_a_missing_package_is_a_problem_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "REQUIRED", ("numpy", "no-such-package"))
    monkeypatch.setattr(doctor, "PROBES", {"packages": doctor.PROBES["packages"]})
    missing = [finding for finding in examine() if finding.status == "problem"]
    assert [(f.part, f.remedy) for f in missing] == [("no-such-package", "python -m pip install no-such-package")]


def test_a_probe_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Finding]:
        raise OSError("cannot compile")

    monkeypatch.setattr(doctor, "PROBES", {"native engine": broken})
    findings = list(examine())
    assert findings == [Finding("native engine", "problem", "OSError: cannot compile")]
    assert not healthy(findings)


def test_it_asks_for_what_the_package_needs_and_no_more() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[^A-Za-z0-9_-]", requirement)[0].lower() for requirement in project["dependencies"]}
    assert set(REQUIRED) <= needed
