"""Seeded damage of a dataset never ends in a traceback, a hang, much memory or a touched file outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datagen.small_runs import Made

SECONDS = float(os.environ.get("PXRD_FUZZ_SECONDS", "3400"))
"""Of the campaign; below the time limit of `make stress`."""
FIRST = int(os.environ.get("PXRD_FUZZ_FIRST", "0"))
"""First seed, for another part of the campaign."""


def fuzz(dataset: Path, seconds: float, first: int) -> tuple[int, str]:
    """Run the fuzzer as a process of its own; return the number of cases and what it printed of findings."""
    command = [
        sys.executable,
        "-m",
        "tests.stress.fuzz",
        str(dataset),
        "--seconds",
        str(seconds),
        "--first",
        str(first),
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=seconds + 300, check=False
    )
    lines = ended.stdout.splitlines()
    assert lines, ended.stderr
    summary = json.loads(lines[-1])
    return summary["cases"], "\n".join(lines[:-1]) if summary["findings"] else ""


@pytest.mark.timeout(600)
def test_a_few_damaged_datasets(made: Made) -> None:
    cases, findings = fuzz(made.dataset, 20, 1000)
    assert findings == ""
    assert cases >= 1


@pytest.mark.stress
def test_an_hour_of_damaged_datasets(made: Made) -> None:
    cases, findings = fuzz(made.dataset, SECONDS, FIRST)
    assert findings == ""
    assert cases > SECONDS / 60
