"""Fixtures that more than one room's tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C reaches what tests start, also where a shell that runs the suite in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real test data, which is not part of the repository; tests that need it skip where it is absent."""
    named = os.environ.get("PXRD_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip(f"real test data not found at {folder}; set PXRD_SHARED_DATA to its folder")
    return folder
