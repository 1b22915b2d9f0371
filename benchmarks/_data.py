"""Where the real data lie that benchmarks run on; they are not part of the repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_folder() -> Path:
    """Where the data would lie: as PXRD_SHARED_DATA says, else beside the repository."""
    named = os.environ.get("PXRD_SHARED_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data() -> Path:
    """The folder of real test data, or a sentence saying how to name it."""
    folder = data_folder()
    if not (folder / "README.md").is_file():
        sys.exit(f"real data not found at {folder}; set PXRD_SHARED_DATA to its folder")
    return folder
