"""A real SLURM for the tests of this folder, which skip visibly where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.controller import Controller, missing_programs, slurm


@pytest.fixture(scope="session")
def running_slurm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    skip_without_slurm()
    with slurm() as controller:
        yield controller
        evidence = tmp_path_factory.mktemp("slurm") / "slurm.log"
        evidence.write_text(controller.logs())
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nlog of SLURM's daemons: {evidence}")


@pytest.fixture
def controller(running_slurm: Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Controller:
    use(running_slurm, monkeypatch, tmp_path)
    return running_slurm


def skip_without_slurm() -> None:
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed: no {', '.join(missing)}; on Debian: apt-get install slurm-wlm munge")


def use(controller: Controller, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let SLURM's commands work in this process and its children, without a person's own configuration in the way."""
    for name, value in controller.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
