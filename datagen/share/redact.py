"""What is left of a row, of a table's line and of the attributes when structure and source text stay in the house?"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen import schema
from datagen.density_reasons import CODES as DENSITY_CODES

WITHHELD = (
    *("reflection_two_theta", "reflection_intensity", "reflection_line", "reflection_members"),
    *("member_hkl", "member_intensity", "reciprocal_metric"),
    *("xrd_peaks", "density", "density_electrons", "density_lattice"),
)
"""Variables that a structure can be rebuilt from."""
_TEXT_OF_SOURCE: dict[str, Any] = {
    "structure": None,
    "claims": "{}",
    "origin": "",
    "density_path": None,
    "density_format": None,
    "density_member": None,
    "detail": "",
    "warnings": [],
    "stated_space_group": None,
    "stated_formula": None,
    "density_detail": None,
}
"""Columns of the table of verdicts that hold coordinates or words of the source, and what stands there instead."""
_PLACES = ("path", "index")


def redacted_values(values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A row for `ShardWriter.add` without anything of `WITHHELD`: no reflections, no density, fill values."""
    ragged = {v.name for v in schema.every_variable() if set(v.dims) & set(schema.RAGGED)}
    found = {}
    for name, value in values.items():
        if name not in WITHHELD:
            found[name] = value
        elif name in ragged:
            found[name] = value[:0].copy()
        elif name == "reciprocal_metric":
            found[name] = np.full_like(value, np.nan)
    if "density_reason" in found:
        found["density_reason"] = np.asarray(DENSITY_CODES["none_given"], dtype=np.uint8)
    return found


def redacted_line(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the table of verdicts without coordinates and without the source's words."""
    return {name: _TEXT_OF_SOURCE.get(name, value) for name, value in line.items()} | {"density_reason": None}


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
