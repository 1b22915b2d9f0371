"""Libraries of second phases made of a dataset, or of a folder by `datagen curate`.

A configuration names a path. Settings and fingerprints have the hash of the library's content instead, and the dataset
keeps the library, so that its patterns can be made again without the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError
from datagen.simulate.phase_library import (
    LARGEST_LIBRARY_BYTES,
    LIBRARY_FILE,
    MOST_PHASES,
    NAMES,
    is_loaded,
    library_line,
    load_library,
)
from datagen.store.bounded_table import CURATION_TABLE, read_batches
from datagen.store.damaged import damage_explained
from datagen.store.location import Location, Where, is_url, locate, location_of

SETTING = "simulation.augmentation.phase_library"
COLUMNS = ("status", "structure", "structure_hash", "formula", "space_group", "licence")
_NOT_IN_A_NAME = re.compile(r"[^\w.()+*'-]")


def with_library(content: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return a configuration's content with the name of the library whose crystals it names by a path."""
    simulation = content.get("simulation")
    augmentation = simulation.get("augmentation") if isinstance(simulation, Mapping) else None
    if not isinstance(simulation, Mapping) or not isinstance(augmentation, Mapping):
        return dict(content)  # anything else is refused by the models
    named = augmentation.get("phase_library")
    if not isinstance(named, str) or re.fullmatch(NAMES, named):
        return dict(content)
    where = locate(named if is_url(named) else str(base / Path(named).expanduser()))
    library = load_library(library_of(where))
    return {**content, "simulation": {**simulation, "augmentation": {**augmentation, "phase_library": library}}}


def library_of(where: Where) -> bytes:
    """Return the file of the library of the distinct accepted crystals, in the order of their hashes.

    Crystals that a publication withholds are left out.
    """
    lines: dict[str, str] = {}
    for row in _accepted(where, location_of(where)):
        formula = _NOT_IN_A_NAME.sub("", row["formula"])[:50]
        name = f"{formula}-{row['space_group']}-{row['structure_hash'][:8]}"
        lines.setdefault(row["structure_hash"], library_line(name, row["licence"] or "unknown", row["structure"]))
        if len(lines) > MOST_PHASES:
            raise ConfigError(
                f"{SETTING}: {where} has more than {MOST_PHASES:,} accepted crystals; take some of them with datagen "
                f"subset --sample {MOST_PHASES}, or curate fewer with --limit {MOST_PHASES}"
            )
    if not lines:
        raise ConfigError(f"{SETTING}: {where} has no accepted crystal with coordinates")
    return "".join(lines[structure] for structure in sorted(lines)).encode()


def _accepted(where: Where, at: Location) -> Iterator[dict[str, Any]]:
    try:
        file = at.arrow_file(CURATION_TABLE)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{SETTING}: {where} has no {CURATION_TABLE}; expected bundled-1, a finished dataset or a folder by "
            "datagen curate"
        ) from None
    with damage_explained(where, CURATION_TABLE), file:
        for batch in read_batches(file, COLUMNS):
            yield from (row for row in batch.to_pylist() if row["status"] == "accepted" and row["structure"])


def use_library(dataset: Where, name: str) -> bool:
    """Load the library that a dataset keeps; return False if it has none."""
    if is_loaded(name):
        return True
    at = location_of(dataset)
    size = at.size(LIBRARY_FILE)
    if size is None:
        return False
    if size > LARGEST_LIBRARY_BYTES:
        raise ConfigError(f"{dataset}/{LIBRARY_FILE}: expected at most {LARGEST_LIBRARY_BYTES:,} bytes, found {size:,}")
    load_library(at.read(LIBRARY_FILE), name)
    return True
