"""Paths of the real data that benchmarks use; they are not part of the repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder() -> Path:
    """Return the expected folder of the data: PXRD_SHARED_DATA, else beside the repository."""
    named = os.environ.get("PXRD_SHARED_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data() -> Path:
    """Return the folder of real test data, or exit with a message that says how to set it."""
    folder = data_folder()
    if not (folder / "README.md").is_file():
        sys.exit(f"real data not found at {folder}; set PXRD_SHARED_DATA to its folder")
    return folder
