"""Versions of a dataset that was extended: how many records and structures each brought.

Rows are planned version by version, so that those of earlier versions keep their places. The file is in the run's
folder; a dataset that was never extended has none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from datagen.errors import StoreError
from datagen.store import files

FILE = "versions.json"


@dataclass(frozen=True)
class Version:
    """What one version added."""

    n_records: int
    """Lines of the table of verdicts."""
    n_structures: int
    """Rows."""
    catalog: list[dict[str, Any]]
    """Settings of the catalogs that were read."""
    code: dict[str, str]
    """Versions of the code that curated."""


@dataclass(frozen=True)
class Versions:
    """All versions, the oldest first."""

    versions: tuple[Version, ...] = ()
    label_rows: int | None = None
    """Structures per file of a label: those of the first version, for readers that have the dataset open."""

    @property
    def first_lines(self) -> list[int]:
        """Return the line of the table of verdicts at which each version begins."""
        return [0, *accumulate(version.n_records for version in self.versions[:-1])]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the dataset that tell its versions."""
        if not self.versions:
            return {}
        return {"version": len(self.versions), "versions": [asdict(version) for version in self.versions]}


def read_versions(work: Path) -> Versions:
    """Return the versions of a run's folder."""
    path = work / FILE
    try:
        content = json.loads(path.read_bytes())
        return Versions(tuple(Version(**version) for version in content["versions"]), content["label_rows"])
    except FileNotFoundError:
        return Versions()
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: expected the versions of the dataset, found something else ({error}); they are also in the "
            "attribute versions of the dataset: restore the file from there, or copy the dataset again"
        ) from error


def write_versions(work: Path, versions: Versions) -> None:
    """Write the versions into a run's folder."""
    content = {"label_rows": versions.label_rows, "versions": [asdict(version) for version in versions.versions]}
    files.write_bytes(work / FILE, files.to_json(content))
