"""Datasets that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer import datasets


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks this small are slowed down by more, and repeat bit for bit with one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def patterns_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trainer") / "patterns"
    datasets.make(path)
    return path


@pytest.fixture(scope="session")
def densities_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trainer") / "densities"
    datasets.make(path, densities=True)
    return path


@pytest.fixture(autouse=True)
def _deterministic_mode_ends_with_the_test() -> object:
    yield
    torch.use_deterministic_algorithms(False)
