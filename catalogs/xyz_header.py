"""The second line of an extended XYZ frame: names and values. Specification: https://github.com/libAtoms/extxyz."""

from __future__ import annotations

import re

_PAIR = re.compile(
    r"""([A-Za-z_][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\{([^}]*)\}|\[([^\]]*)\]|(\S+))"""
)
_ESCAPED = re.compile(r"""\\(["'\\])""")
STRUCTURE = frozenset(("lattice", "properties", "pbc", "occupancy"))
"""Names that belong to the structure itself, in lower case."""
_LONGEST = 1000


def header_of(line: str) -> dict[str, str]:
    """Return the values as text, without quotes and brackets; names keep their case."""
    found = {}
    for match in _PAIR.finditer(line):
        position, value = next((i, v) for i, v in enumerate(match.groups()[1:]) if v is not None)
        found[match[1]] = _ESCAPED.sub(r"\1", value) if position < 2 else value
    return found


def metadata_of_header(header: dict[str, str]) -> dict[str, str]:
    """Return what the line states beside the structure."""
    return {k: v for k, v in header.items() if k.lower() not in STRUCTURE and len(v) <= _LONGEST}
