"""A real SLURM for the tests of this folder, which skip visibly where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.controller import Controller, missing_programs, slurm


@pytest.fixture(scope="session")
def running_slurm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)}; on Debian: apt-get install slurm-wlm munge")
    with slurm() as controller:
        yield controller
        evidence = tmp_path_factory.mktemp("slurm") / "slurm.log"
        evidence.write_text(controller.logs())
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nlog of SLURM's daemons: {evidence}")


@pytest.fixture
def controller(running_slurm: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Controller:
    """SLURM's commands work in this process and its children, and no configuration of a person's own interferes."""
    for name, value in running_slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return running_slurm
