"""A dataset made in one process, to compare with, and a real SLURM of four nodes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.runs import ROOT, content_of, started, wait_until, write_inputs
from tests.slurm.conftest import skip_without_slurm, use
from tests.slurm.controller import Controller, slurm
from tests.slurm.networks import why_no_networks


@dataclass(frozen=True)
class Reference:
    """A configuration without clusters and what a run without workers makes of it."""

    config: Path
    content: dict[str, str]

    def with_profile(self, folder: Path, **settings: Any) -> Path:
        """Write the configuration with a profile [cluster.tested] to `folder`; return its path."""
        lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
        config = folder / "config.toml"
        text = self.config.read_text().replace('path = "cifs"', f'path = "{self.config.parent / "cifs"}"')
        config.write_text("\n".join([text, "[cluster.tested]", *lines, ""]))
        return config


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # Basic strings of TOML are written as JSON's.
    return json.dumps(str(value)) if isinstance(value, str | Path) else str(value)


@pytest.fixture(scope="session", autouse=True)
def _terminable() -> None:
    """SIGTERM, as from `timeout`, ends the tests as Ctrl-C does: no daemon is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    config = write_inputs(folder)
    # More shards than workers, so that there is a middle.
    config.write_text(config.read_text().replace("structures_per_shard = 2", "structures_per_shard = 1"))
    log = folder / "inline.log"
    with started("run", config, "--out", folder / "inline.zarr", "--cluster", "inline", log=log) as run:
        wait_until(lambda: run.poll() is not None, 900)
        assert run.returncode == 0, log.read_text()
    return Reference(config, content_of(folder / "inline.zarr"))


@pytest.fixture
def four_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Controller]:
    """A SLURM of this test alone: nodes that it kills stay dead."""
    skip_without_slurm()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with slurm(nodes=4, cpus=2) as controller:
        use(controller, monkeypatch, tmp_path)
        yield controller
        (tmp_path / "slurm.log").write_text(controller.logs())


@pytest.fixture
def four_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Controller]:
    """Such a SLURM whose nodes have networks and addresses of their own."""
    skip_without_slurm()
    if missing := why_no_networks():
        pytest.skip(missing)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with slurm(nodes=4, cpus=2, separate_networks=True) as controller:
        use(controller, monkeypatch, tmp_path)
        yield controller
        (tmp_path / "slurm.log").write_text(controller.logs())
