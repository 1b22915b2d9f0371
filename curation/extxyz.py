"""Extended XYZ: one frame with Lattice and Properties in its second line, as ASE and QUIP write it.

Specification: https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

import re

import numpy as np

from curation.listed_atoms import ListedAtoms
from curation.reasons import Refused

_PAIR = re.compile(
    r"""([A-Za-z_][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\{([^}]*)\}|\[([^\]]*)\]|(\S+))"""
)
_NOT_USED = {"magmoms": "magnetic", "initial_magmoms": "magnetic", "move_mask": "constraints_ignored"}
"""Columns that have no effect on a pattern, and the remark on them."""
_TRUE = ("t", "true", "1")


def parse_extxyz(text: str, warnings: set[str]) -> ListedAtoms:
    """Return the cell and atoms of one frame."""
    lines = text.split("\n")
    n = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    if n < 1 or len(lines) < n + 2:
        raise Refused("bad_format", f"expected a number of atoms and as many lines, found {lines[0].strip()[:40]!r}")
    header = {
        match[1].lower(): next(v for v in match.groups()[1:] if v is not None) for match in _PAIR.finditer(lines[1])
    }
    if "lattice" not in header:
        raise Refused("no_cell", "the second line states no Lattice: a molecule, or a plain XYZ file")
    lattice = np.array(_floats(header["lattice"], 9, "Lattice")).reshape(3, 3)
    if "pbc" in header and [word.lower() in _TRUE for word in re.split(r"[\s,]+", header["pbc"].strip())] != [True] * 3:
        raise Refused("not_periodic", f'pbc = "{header["pbc"]}": a crystal repeats in three directions')
    columns = _columns(header.get("properties", "species:S:1:pos:R:3"))
    symbols, xyz, occupancy = [], np.empty((n, 3)), np.ones(n)
    for name, remark in _NOT_USED.items():
        if name in columns:
            warnings.add(remark)
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
    return ListedAtoms(lattice, tuple(symbols), occupancy, ("",) * n, cartesian_A=xyz)


def _columns(properties: str) -> dict[str, tuple[int, int]]:
    """Return first column and number of columns of each property: `species:S:1:pos:R:3`."""
    words = properties.split(":")
    found: dict[str, tuple[int, int]] = {}
    at = 0
    for name, count in zip(words[::3], words[2::3], strict=False):
        if not count.isdigit():
            raise Refused("bad_format", f"Properties={properties[:60]!r}: expected NAME:TYPE:COUNT")
        found[name.lower()] = (at, int(count))
        at += int(count)
    return found


def _symbol(word: str) -> str:
    """Return an element; an atomic number is translated."""
    if not word.isdigit():
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
