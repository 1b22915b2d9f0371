"""The second line of an extended XYZ frame: names and values. Specification: https://github.com/libAtoms/extxyz."""

from __future__ import annotations

import re

_NAME = re.compile(r"(?<![\w-])([A-Za-z_][\w-]*+)\s*+=\s*+")
_BARE = re.compile(r"\S*")
_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_ESCAPED = re.compile(r"""\\(["'\\])""")
STRUCTURE = frozenset(("lattice", "properties", "pbc", "occupancy"))
"""Names that belong to the structure itself, in lower case."""
_LONGEST = 1000


def is_count(word: str) -> bool:
    """Return whether a word is a whole number of at most nine digits."""
    return word.isascii() and word.isdigit() and len(word) <= 9


def header_of(line: str) -> dict[str, str]:
    """Return the values as text, without quotes and brackets; names keep their case.

    Takes time in proportion to the line, whatever is in it.
    """
    found: dict[str, str] = {}
    unclosed: set[str] = set()
    at = 0
    while (match := _NAME.search(line, at)) is not None:
        begin, opening = match.end(), line[match.end() : match.end() + 1]
        closing = _CLOSING.get(opening, "")
        end = -1 if not closing or closing in unclosed else _end(line, begin + 1, closing)
        if end >= 0:
            value = line[begin + 1 : end]
            found[match[1]] = _ESCAPED.sub(r"\1", value) if closing == opening else value
            at = end + 1
        else:
            unclosed.add(closing)  # nor does it occur further on
            bare = _BARE.match(line, begin)
            assert bare is not None
            found[match[1]] = bare[0]
            at = bare.end()
    return found


def _end(line: str, begin: int, closing: str) -> int:
    """Return the place of the next closing character that no backslash escapes, -1 if there is none."""
    at = line.find(closing, begin)
    if closing not in "\"'":
        return at
    while at >= 0:
        first = at
        while first > begin and line[first - 1] == "\\":
            first -= 1
        if (at - first) % 2 == 0:
            return at
        at = line.find(closing, at + 1)
    return at


def metadata_of_header(header: dict[str, str]) -> dict[str, str]:
    """Return what the line states beside the structure."""
    return {k: v for k, v in header.items() if k.lower() not in STRUCTURE and len(v) <= _LONGEST}
