"""Extended XYZ: one frame with Lattice and Properties in its second line, as ASE and QUIP write it.

Specification: https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from catalogs.xyz_header import header_of, is_count
from curation.atoms import Array
from curation.listed_atoms import ListedAtoms
from curation.reasons import Refused

_NOT_USED = {
    **dict.fromkeys(("magmom", "magmoms", "initial_magmoms", "spin", "spins"), "magnetic"),
    **dict.fromkeys(("charge", "charges", "initial_charges"), "charges_ignored"),
}
"""Columns of numbers that have no effect on a pattern, and the remark on those that are not 0."""
_KINDS = "spacegroup_kinds"
"""ASE's column of keys into `occupancy="_JSON {...}"`, which lists the species that share a site."""
_TRUE = ("t", "true", "1")


def parse_extxyz(text: str, warnings: set[str]) -> ListedAtoms:
    """Return the cell and atoms of one frame."""
    lines = text.split("\n")
    n = int(lines[0]) if is_count(lines[0].strip()) else 0
    if n < 1 or len(lines) < n + 2:
        raise Refused("bad_format", f"expected a number of atoms and as many lines, found {lines[0].strip()[:40]!r}")
    header = {name.lower(): value for name, value in header_of(lines[1]).items()}
    if "lattice" not in header:
        raise Refused("no_cell", "the second line states no Lattice: a molecule, or a plain XYZ file")
    lattice = np.array(_floats(header["lattice"], 9, "Lattice")).reshape(3, 3)
    if "pbc" in header and [word.lower() in _TRUE for word in re.split(r"[\s,]+", header["pbc"].strip())] != [True] * 3:
        raise Refused("not_periodic", f'pbc = "{header["pbc"]}": a crystal repeats in three directions')
    columns = _columns(header.get("properties", "species:S:1:pos:R:3"))
    symbols, xyz, occupancy = [], np.empty((n, 3)), np.ones(n)
    remarked = {name: remark for name, remark in _NOT_USED.items() if name in columns}
    if "move_mask" in columns:
        warnings.add("constraints_ignored")
    shared = _shared(header.get("occupancy"), _KINDS in columns)
    kinds = []
    kind = next((name for name in ("species", "element", "z", "numbers") if name in columns), None)
    if kind is None or "pos" not in columns:
        raise Refused("bad_format", f"expected the properties species and pos, found {', '.join(columns)}")
    width = sum(count for _, count in columns.values())
    for i, line in enumerate(lines[2 : n + 2]):
        words = line.split()
        if len(words) < width:
            raise Refused("bad_format", f"atom {i + 1}: expected {width} values, found {len(words)}")
        symbols.append(_symbol(words[columns[kind][0]]))
        at = columns["pos"][0]
        xyz[i] = _floats(" ".join(words[at : at + 3]), 3, f"the position of atom {i + 1}")
        if "occupancy" in columns:
            occupancy[i] = _floats(words[columns["occupancy"][0]], 1, f"the occupancy of atom {i + 1}")[0]
        if shared:
            kinds.append(words[columns[_KINDS][0]])
        for name, remark in remarked.items():
            first, count = columns[name]
            if any(word.strip("0+-.eE") for word in words[first : first + count]):
                warnings.add(remark)
    if shared:
        return _expanded(lattice, kinds, shared, xyz)
    return ListedAtoms(lattice, tuple(symbols), occupancy, ("",) * n, cartesian_A=xyz)


def _shared(text: str | None, has_kinds: bool) -> dict[str, dict[str, float]]:
    """Return the occupancies of each kind of site, as ASE writes those of a CIF; empty if every site is full."""
    if text is None or not text.startswith("_JSON"):
        return {}
    try:
        content: Any = json.loads(text.removeprefix("_JSON"))
        found = {str(k): {str(e): float(x) for e, x in v.items()} for k, v in content.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Refused("bad_format", f"occupancy is no object of objects with numbers: {error}") from error
    if all(list(shares.values()) == [1.0] for shares in found.values()):
        return {}
    if not has_kinds:
        raise Refused("bad_occupancy", f"occupancy is stated, but no column {_KINDS} that says for which atoms")
    return found


def _expanded(lattice: Array, kinds: list[str], shared: dict[str, dict[str, float]], xyz: Array) -> ListedAtoms:
    """Return one entry for each species of each site."""
    if unknown := sorted(set(kinds) - set(shared)):
        raise Refused("bad_occupancy", f"occupancy does not state the kind {unknown[0][:40]!r} of {_KINDS}")
    entries = [(i, symbol, share) for i, kind in enumerate(kinds) for symbol, share in shared[kind].items()]
    places = xyz[[i for i, _, _ in entries]].reshape(-1, 3)
    return ListedAtoms(
        lattice,
        tuple(symbol for _, symbol, _ in entries),
        np.array([share for _, _, share in entries]),
        tuple(f"site {i + 1}" for i, _, _ in entries),
        cartesian_A=places,
    )


def _columns(properties: str) -> dict[str, tuple[int, int]]:
    """Return first column and number of columns of each property: `species:S:1:pos:R:3`."""
    words = properties.split(":")
    found: dict[str, tuple[int, int]] = {}
    at = 0
    for name, count in zip(words[::3], words[2::3], strict=False):
        if not is_count(count):
            raise Refused("bad_format", f"Properties={properties[:60]!r}: expected NAME:TYPE:COUNT")
        found[name.lower()] = (at, int(count))
        at += int(count)
    return found


def _symbol(word: str) -> str:
    """Return an element; an atomic number is translated."""
    if not is_count(word):
        return word
    from curation.composition import SYMBOLS

    number = int(word)
    if not 1 <= number <= len(SYMBOLS):
        raise Refused("unknown_element", f"{word} is no atomic number")
    return SYMBOLS[number - 1]


def _floats(text: str, count: int, what: str) -> list[float]:
    words = re.split(r"[\s,]+", text.strip().strip("[]"))
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if len(found) != count:
        raise Refused("bad_format", f"{what}: expected {count} numbers, found {text.strip()[:60]!r}")
    return found
