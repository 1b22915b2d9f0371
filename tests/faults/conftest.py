"""An undisturbed run to compare with, and a small file system of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.runs import content_of, datagen, finish, write_inputs


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Configuration of a run, and the content of the dataset that an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("a path with späces")
    config = write_inputs(folder)
    ended = datagen("run", config, "--out", folder / "whole.zarr")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return config, content_of(folder / "whole.zarr")


@pytest.fixture(scope="session")
def run_seconds(undisturbed: tuple[Path, dict[str, str]]) -> float:
    """Return how long such a run takes on this machine."""
    config, _ = undisturbed
    began = time.monotonic()
    finish(config, config.parent / "timed.zarr")
    return time.monotonic() - began


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 600 kB, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
