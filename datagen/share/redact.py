"""What is left of a row, of a table's line and of the attributes when structure and source text stay in the house?"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from datagen.store import schema
from datagen.store.density_codes import CODES as DENSITY_CODES
from datagen.store.shard_reader import StoredChunks, Value

KEPT_VARIABLES = frozenset(
    {"pattern", "pattern_max", "density_reason"}
    | {v.name for v in (*schema.AUGMENTATIONS, *schema.EXTRA_AUGMENTATIONS, *schema.DIAGNOSTICS)}
)
"""What of a row's arrays leaves. Everything else stays, also what a later version may add."""
KEPT_COLUMNS = frozenset(
    {
        *("source", "source_id", "licence", "status", "reason", "formula", "structure_hash", "group", "split"),
        *("n_atoms", "n_atoms_conventional", "volume", "volume_conventional", "space_group", "crystal_system"),
        *("bravais_lattice", "n_reflections", "row", "duplicate_of"),
        *(f"niggli_{name}" for name in schema.NIGGLI),
    }
)
"""What of a line of the table of verdicts leaves, likewise."""
_INSTEAD: dict[str, Any] = {"claims": "{}", "origin": "", "detail": "", "warnings": []}
"""What stands in columns that are never empty; in all others, nothing."""
_PLACES = ("path", "index")


def redacted_values(values: dict[str, Value]) -> dict[str, Value]:
    """A row for `ShardWriter.add` with `KEPT_VARIABLES` alone: no reflections, no density, fill values."""
    ragged = {v.name for v in schema.every_variable() if set(v.dims) & set(schema.RAGGED)}
    found: dict[str, Value] = {}
    for name, value in values.items():
        if name in KEPT_VARIABLES:
            found[name] = value
        elif name in ragged:
            found[name] = value.emptied() if isinstance(value, StoredChunks) else value[:0].copy()
        elif name == "reciprocal_metric" and isinstance(value, np.ndarray):
            found[name] = np.full_like(value, np.nan)
    if "density_reason" in found:
        found["density_reason"] = np.asarray(DENSITY_CODES["none_given"], dtype=np.uint8)
    return found


def redacted_line(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the table of verdicts without coordinates and without the source's words."""
    return {name: value if name in KEPT_COLUMNS else _INSTEAD.get(name) for name, value in line.items()}


def without_places(value: Any) -> Any:
    """Settings with the names of files in place of paths: where things lie in one house is nobody else's affair."""
    if isinstance(value, dict):
        return {
            name: file_name(inner) if name in _PLACES and isinstance(inner, str) else without_places(inner)
            for name, inner in value.items()
        }
    return [without_places(inner) for inner in value] if isinstance(value, list) else value


def line_without_places(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the table of verdicts with file names in place of absolute paths."""
    found = dict(line)
    for name in ("origin", "density_path"):
        if found.get(name):
            found[name] = file_name(found[name])
    return found


def file_name(path: str) -> str:
    """The last part of an absolute path; anything else stays."""
    if path.startswith(("/", "~")):
        return PurePosixPath(path).name
    return PureWindowsPath(path).name if PureWindowsPath(path).is_absolute() else path
