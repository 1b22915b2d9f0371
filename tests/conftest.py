"""Fixtures that more than one room's tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

LONG = (
    *(
        "frame/test_distribution.py",
        "faults/test_run_faults.py",
        "faults/test_disturbances.py",
        "share/test_acceptance.py",
    ),
    *("curation/test_archives.py", "cluster/test_connect.py", "trainer/test_distributed.py", "trainer/test_export.py"),
    *("datagen/test_curate_command.py", "frame/test_docs_python.py", "datagen/test_browse_page.py"),
)
"""Files that take longest. They come first, so that no process is left with one when the others have finished."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


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
