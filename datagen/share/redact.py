"""Allow-lists of the columns and arrays that are published of open and of restricted rows."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from curation.table import VERDICT_COLUMNS
from datagen.share.published_settings import file_name
from datagen.steps.layout import known_draws
from datagen.steps.structures_table import ADDED
from datagen.store import schema
from datagen.store.density_codes import CODES as DENSITY_CODES
from datagen.store.shard_reader import StoredChunks, Value

KEPT_VARIABLES = frozenset(
    {"pattern", "pattern_max", "density_reason"}
    | {draw.name for draw in known_draws()}
    | {v.name for v in schema.DIAGNOSTICS}
)
"""Arrays of a restricted row that are published."""
KEPT_COLUMNS = frozenset(
    {
        *("source", "source_id", "licence", "status", "reason", "formula", "structure_hash", "group", "split"),
        *("n_atoms", "n_atoms_conventional", "volume", "volume_conventional", "space_group", "crystal_system"),
        *("bravais_lattice", "n_reflections", "row", "duplicate_of"),
        *(f"niggli_{name}" for name in schema.NIGGLI),
    }
)
"""Columns of a restricted row of the curation table that are published."""
OPEN_COLUMNS = KEPT_COLUMNS | {
    *("n_atoms_read", "volume_read", "symprec_A", "angle_tolerance_deg", "space_group_at", "n_primitive_at"),
    *("stated_space_group", "stated_formula", "min_distance_A", "max_occupancy", "formula_difference"),
    *("niggli_determinant", "niggli_volume_ratio", "niggli_idempotence", "lattice_character", "lattice_deviation"),
    *("contact", "contact_ratio", "volume_ratio"),
    *("structure", "density_format", "density_reason", "xrd_peaks_reason"),
}
"""Columns of an open row that are published unchanged. Free text of the run (`detail`, ...) may quote local paths."""
TABLE_COLUMNS = (frozenset(VERDICT_COLUMNS) | {field.name for field in ADDED}) - {"seconds"}
"""Columns of a published table; entries that may not be published are empty."""
_FILES = ("origin", "density_path", "density_member")
"""Published as file names."""
_EMPTY: dict[str, Any] = {"source_metadata": "{}", "origin": "", "detail": "", "warnings": []}
"""Entries of columns that are never null."""
_CODE = re.compile(r"[a-z0-9_]{1,64}")

_OF_EVERY_FILE = frozenset({"density_note", "duplicate_of", "encoding"})
SOURCE_METADATA: dict[str, frozenset[str]] = {
    "folder": _OF_EVERY_FILE,
    "zip": _OF_EVERY_FILE,
    "tar": _OF_EVERY_FILE,
    "table": frozenset(),
    "icsd": _OF_EVERY_FILE | {"collection_code", "restricted"},
    "cod": _OF_EVERY_FILE | {"cod_id"},
    "measured": frozenset(
        {"format", "anode", "monochromator", "wavelengths_A", "alpha2_ratio", "step_deg", "seconds_per_point", "ranges"}
        | {"wavelength_A", "two_theta_min_deg", "two_theta_max_deg", "points", "unit", "sign_changes"}
        | {"cosine", "explained", "cell_change", "zero_shift_deg"}
    ),
    "rruff": _OF_EVERY_FILE | {"amcsd_code", "mineral"},
    "examples": _OF_EVERY_FILE | {"name", "formula", "space_group", "citation"},
    "generated": frozenset(),
    "optimade": _OF_EVERY_FILE
    | {"provider", "homepage", "licence_page", "chemical_formula_reduced", "last_modified", "immutable_id"},
    "materials_project": _OF_EVERY_FILE
    | {"material_id", "formula", "space_group_number", "energy_above_hull_eV", "theoretical", "database_ids"}
    | {"density_task_id", "density_sha256"},
}
"""Source metadata that is published by default, by kind of catalog; nothing of tables."""


def published_source_metadata(catalogs: Iterable[Mapping[str, Any]], named: Collection[str]) -> Mapping[str, set[str]]:
    """Return the source metadata that may be published, by the name of the catalog.

    If catalogs of different kinds share a name, only what both allow is published.
    """
    found: dict[str, set[str]] = {}
    for catalog in catalogs:
        stated = set(SOURCE_METADATA.get(str(catalog.get("kind")), frozenset()))
        name = str(catalog.get("name"))
        found[name] = found.get(name, stated) & stated
    return {name: stated | set(named) for name, stated in found.items()}


def redacted_values(values: dict[str, Value]) -> dict[str, Value]:
    """Return a restricted row for `ShardWriter.add`: `KEPT_VARIABLES`, no reflections, no density."""
    ragged = {v.name for v in schema.every_variable() if set(v.dims) & set(schema.RAGGED)}
    found: dict[str, Value] = {}
    for name, value in values.items():
        if name in KEPT_VARIABLES:
            found[name] = value
        elif name in ragged:
            found[name] = value.emptied() if isinstance(value, StoredChunks) else value[:0].copy()
        elif name == "reciprocal_metric" and isinstance(value, np.ndarray):
            found[name] = np.full_like(value, np.nan)
        elif name == "rotations" and isinstance(value, np.ndarray):
            found[name] = np.zeros_like(value)
    if "density_reason" in found:
        found["density_reason"] = np.asarray(DENSITY_CODES["none_given"], dtype=np.uint8)
    return found


def redacted_line(line: dict[str, Any]) -> dict[str, Any]:
    """Return a restricted row of the curation table, reduced to `KEPT_COLUMNS`."""
    return {name: value if name in KEPT_COLUMNS else _EMPTY.get(name) for name, value in line.items()}


def open_line(
    line: dict[str, Any], stated: Mapping[str, Any], source_metadata: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    """Return an open row of the curation table: `OPEN_COLUMNS`, file names and the source metadata that is allowed."""
    found = {name: value if name in OPEN_COLUMNS else _EMPTY.get(name) for name, value in line.items()}
    for name in _FILES:
        if line.get(name):
            found[name] = _file_names(line[name])
    allowed = source_metadata.get(line["source"], ())
    found["source_metadata"] = json.dumps(
        {name: value for name, value in stated.items() if name in allowed}, sort_keys=True, ensure_ascii=False
    )
    found["warnings"] = [code for code in line["warnings"] or () if _CODE.fullmatch(code)]
    return found


def _file_names(origin: str) -> str:
    """Return the file name of a path and, after `!`, of the entry in an archive."""
    return "!".join(file_name(part) for part in origin.split("!"))
