"""Division of files with structures into single ones, and the format of a text by its content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from catalogs import defects
from catalogs.ase_row import piece_of
from catalogs.metadata import metadata_of
from catalogs.record import Defect, Format, Piece
from catalogs.xyz_header import header_of, is_count, metadata_of_header

MAX_STRUCTURES = 1_000_000
"""Limit on structures per file."""

_ID_KEYS = ("material_id", "id", "entry_id", "immutable_id", "task_id", "_id", "name")
_XYZ_ID_KEYS = ("material_id", "immutable_id", "unique_id", "id")
_TEXT_KEYS = ("cif", "poscar", "POSCAR")


def format_of_text(text: str) -> Format:
    """Return the format of a table's cell by its content; what is nothing else is taken for a CIF."""
    start = text.lstrip()
    if start.startswith(("{", "[")):
        return "json"
    lines = start.split("\n", 8)
    if "data_" not in lines[0]:
        if len(lines) > 2 and lines[0].strip().isdigit() and "lattice" in lines[1].lower():
            return "extxyz"
        if len(lines) > 5 and all(_is_numbers(line, 3) for line in lines[2:5]) and _is_numbers(lines[1], 1):
            return "poscar"
    return "cif"


def split(text: str, kind: Format) -> Iterator[Piece | Defect]:
    """Yield the structures of a file that is not a CIF; a defect for what is none."""
    if kind == "poscar":
        yield Piece(text, "poscar")
    elif kind == "extxyz":
        yield from _split_extxyz(text)
    else:
        yield from _split_json(text)


def _is_numbers(line: str, count: int) -> bool:
    words = line.split()
    try:
        return len(words) >= count and all(float(word) == float(word) for word in words[:count])
    except ValueError:
        return False


def _split_extxyz(text: str) -> Iterator[Piece | Defect]:
    lines = text.replace("\r\n", "\n").split("\n")
    at = number = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        number += 1
        count = lines[at].strip()
        if not is_count(count) or number > MAX_STRUCTURES:
            yield Defect(defects.NO_STRUCTURE, f"line {at + 1}: expected a number of atoms, found {count[:40]!r}")
            return
        end = at + 2 + int(count)
        frame = lines[at:end]
        if len(frame) < 2 + int(count):
            yield Defect(defects.TRUNCATED_TEXT, f"line {at + 1}: {count} atoms announced, {len(frame) - 2} listed")
            return
        beside = metadata_of_header(header_of(frame[1]))
        named = next((beside[key] for key in _XYZ_ID_KEYS if beside.get(key)), "")
        yield Piece("\n".join(frame) + "\n", "extxyz", named, beside)
        at = end


def _split_json(text: str) -> Iterator[Piece | Defect]:
    try:
        content = json.loads(text)
    except RecursionError:
        yield Defect(defects.BAD_JSON, "JSON nested too deeply")
        return
    except ValueError as error:
        yield from _split_json_lines(text, error)
        return
    yield from _pieces(content)


def _split_json_lines(text: str, error: ValueError) -> Iterator[Piece | Defect]:
    """Yield one structure for each line of a JSON-lines file."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or not lines[0].lstrip().startswith("{"):
        yield Defect(defects.BAD_JSON, f"not JSON: {error}")
        return
    for number, line in enumerate(lines, start=1):
        try:
            yield _entry(json.loads(line), f"line {number}")
        except (ValueError, RecursionError) as broken:
            yield Defect(defects.BAD_JSON, f"line {number} is not JSON: {broken}")


def _pieces(content: Any) -> Iterator[Piece | Defect]:
    """Yield the structures of a JSON document: one, a list, OPTIMADE's `data`, a table, or ASE's database."""
    if isinstance(content, list):
        for number, entry in enumerate(content, start=1):
            yield _entry(entry, f"entry {number}")
    elif not isinstance(content, dict):
        yield Defect(defects.NO_STRUCTURE, "neither an object nor a list")
    elif is_structure(content) or any(key in content for key in ("structure", "attributes", *_TEXT_KEYS)):
        yield _entry(content, "the object")
    elif isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        yield from _table(content)
    elif isinstance(content.get("data"), list | dict):  # an answer of an OPTIMADE server
        data = content["data"]
        yield from _pieces(data if isinstance(data, list) else [data])
    elif isinstance(content.get("entries"), list):  # pymatgen's computed entries, as Alexandria publishes them
        yield from _pieces(content["entries"])
    elif isinstance(content.get("ids"), list):  # ASE's JSON database
        for number in content["ids"]:
            yield piece_of(content.get(str(number)), str(number))
    else:
        yield Defect(defects.NO_STRUCTURE, f"an object with {', '.join(map(repr, list(content)[:5])) or 'no keys'}")


def _table(content: dict[str, Any]) -> Iterator[Piece | Defect]:
    """Yield the rows of a table that pandas wrote with orient="split", as matminer's and matbench's are."""
    columns = [str(name) for name in content["columns"]]
    data, index = content["data"], content.get("index")
    ids = index if isinstance(index, list) and len(index) == len(data) else range(len(data))
    for name, row in zip(ids, data, strict=True):
        if not isinstance(row, list) or len(row) != len(columns):
            yield Defect(defects.NO_STRUCTURE, f"row {name} does not have {len(columns)} cells")
        else:
            yield _entry(dict(zip(columns, row, strict=True)), f"row {name}", name=str(name))


def _entry(entry: Any, where: str, name: str = "") -> Piece | Defect:
    """Return a structure with its id and metadata."""
    if not isinstance(entry, dict):
        return Defect(defects.NO_STRUCTURE, f"{where} is not an object")
    beside = dict(entry)
    inner = entry.get("structure", entry)
    if isinstance(entry.get("attributes"), dict) and is_structure(entry["attributes"]):
        inner, beside = entry["attributes"], {**entry["attributes"], "id": entry.get("id", "")}
    name = name or next((str(beside[k]) for k in _ID_KEYS if isinstance(beside.get(k), str | int)), "")
    metadata = metadata_of({key: value for key, value in beside.items() if key not in _TEXT_KEYS})
    for key in _TEXT_KEYS:
        if isinstance(entry.get(key), str):
            return Piece(entry[key], "cif" if key == "cif" else "poscar", name, metadata)
    if isinstance(inner, str):
        return Piece(inner, format_of_text(inner), name, metadata)
    if isinstance(inner, dict) and is_structure(inner):
        try:
            return Piece(json.dumps(inner), "json", name, metadata)
        except RecursionError:
            return Defect(defects.BAD_JSON, f"{where} is nested too deeply")
    return Defect(defects.NO_STRUCTURE, f"{where} has none of the keys of a structure")


def is_structure(content: dict[str, Any]) -> bool:
    """Return whether an object has the keys of a structure of pymatgen, OPTIMADE or ASE."""
    return (
        {"lattice", "sites"} <= content.keys()
        or {"lattice_vectors", "cartesian_site_positions", "species_at_sites"} <= content.keys()
        or {"cell", "positions", "numbers"} <= content.keys()
    )
