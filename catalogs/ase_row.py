"""Rows of ASE's databases as structures, whether JSON, SQLite or fairchem's LMDB: https://ase-lib.org/ase/db/db.html."""

from __future__ import annotations

import json
from typing import Any

from catalogs import defects
from catalogs.metadata import metadata_of
from catalogs.record import Defect, Piece

_STRUCTURE = ("cell", "pbc", "numbers", "positions")
_REMARKED = ("initial_magmoms", "magmoms", "initial_charges", "charges", "constraints")
"""Kept with the structure, so that curation can remark on them."""
_BESIDE = ("unique_id", "energy", "free_energy", "magmom", "calculator")
"""Kept as source metadata with the row's own keys; names of users, and times, are not."""


def piece_of(row: Any, number: str) -> Piece | Defect:
    """Return the structure of a row that was decoded from JSON, or put together from SQLite's columns."""
    if not isinstance(row, dict) or not {"cell", "positions", "numbers"} <= row.keys():
        return Defect(defects.NO_STRUCTURE, f"row {number} has no cell, positions and numbers")
    plain = {name: plain_of(row[name]) for name in (*_STRUCTURE, *_REMARKED) if row.get(name) is not None}
    own = row.get("key_value_pairs")
    beside = {name: plain_of(row.get(name)) for name in _BESIDE} | (own if isinstance(own, dict) else {})
    try:
        return Piece(json.dumps(plain), "json", number, metadata_of(beside))
    except RecursionError:
        return Defect(defects.BAD_JSON, f"row {number} is nested too deeply")


def plain_of(value: Any) -> Any:
    """Return numbers and lists of ASE's encodings: `{"__ndarray__": [shape, type, values]}`, and objects of it."""
    while isinstance(value, dict) and "array" in value:  # a cell
        value = value["array"]
    if not isinstance(value, dict) or "__ndarray__" not in value:
        return value
    found = value["__ndarray__"]
    if not isinstance(found, list) or len(found) != 3 or not isinstance(found[0], list):
        return None
    shape, _, flat = found
    if len(shape) != 2 or not isinstance(flat, list):
        return flat
    width = shape[1]
    if not isinstance(width, int) or width < 1:
        return None
    return [flat[at : at + width] for at in range(0, len(flat), width)]
