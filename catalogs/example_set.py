"""Textbook crystals included in the package, each with its citation, some with a charge density."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from catalogs.config import ExamplesCatalog
from catalogs.densities import density_format
from catalogs.folder import read_file
from catalogs.reading import Place
from catalogs.record import Defect, DensityRef, Record

FOLDER = Path(__file__).parent / "examples"


def index() -> list[dict[str, str]]:
    """Return the rows of `INDEX.csv`: file, name, formula, space group, crystal system, density, citation."""
    with (FOLDER / "INDEX.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def records(config: ExamplesCatalog) -> Iterator[Record]:
    """Yield a record per crystal, in alphabetical order, with name and citation as source metadata."""
    for row in index():
        path = FOLDER / row["file"]
        source_metadata = {key: row[key] for key in ("name", "formula", "space_group", "citation")}
        place = Place(config.name, row["file"], f"examples/{row['file']}", config.licence, source_metadata)
        raw = read_file(path, config.max_file_MB)
        if isinstance(raw, Defect):
            yield place.refused(raw)
            continue
        density = FOLDER / row["density"] if row["density"] else None
        for record in place.records(raw):
            yield replace(record, density=DensityRef(density, density_format(density.name)) if density else None)
