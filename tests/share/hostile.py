"""Maliciously changed datasets whose ledgers match the changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datagen.store import ledger


def changed_copy(dataset: Path, to: Path, change: Callable[[Path], None]) -> Path:
    """Return a changed copy of the dataset whose ledger matches the change."""
    shutil.copytree(dataset, to)
    change(to)
    reseal(to)
    return to


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place, or replace its content by what `change` returns."""
    content = json.loads(path.read_text())
    replaced = change(content)
    path.write_text(json.dumps(content if replaced is None else replaced))


def reseal(dataset: Path) -> None:
    """Update the size and checksum of every existing file in the ledger."""
    for receipt in sorted((dataset / ledger.FOLDER).glob("*.json")):
        content = json.loads(receipt.read_text())
        for name in content["files"]:
            if (dataset / name).is_file():
                content["files"][name] = ledger.entry_of((dataset / name).read_bytes())
        receipt.write_text(json.dumps(content))
