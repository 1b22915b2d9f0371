"""POSCAR and CONTCAR files of VASP: https://www.vasp.at/wiki/POSCAR (versions 4, 5 and 6)."""

from __future__ import annotations

import re

import numpy as np

from curation.atoms import Array
from curation.composition import ELEMENTS
from curation.listed_atoms import ListedAtoms
from curation.reasons import Refused

MOST_ATOMS = 1_000_000
"""Of a file; more are not allocated."""
_POTENTIAL = re.compile(r"([A-Za-z]{1,2})(?:[._/].*)?")
"""`Fe`, and names of potentials: `Fe_pv`, `Fe_pv/af6e...`."""
_FLAG = re.compile(r"\.?(?:T|F|TRUE|FALSE)\.?", re.IGNORECASE)
"""A logical value of Fortran."""
_N_FLAGS = 3


def parse_poscar(text: str, warnings: set[str]) -> ListedAtoms:
    """Return the cell and atoms; velocities and other blocks after the coordinates have no effect on a pattern."""
    lines = text.rstrip().replace("\r\n", "\n").split("\n")
    if len(lines) < 7:
        raise Refused("bad_format", f"a POSCAR has at least 8 lines, found {len(lines)}")
    vectors = np.array([_numbers(lines, i, 3) for i in (2, 3, 4)])
    lattice, factors = _scaled(vectors, _scale(lines))
    symbols, counts, at = _species(lines)
    if sum(counts) > MOST_ATOMS:
        raise Refused("bad_format", f"{sum(counts)} atoms are announced, at most {MOST_ATOMS} are read")
    mode = _line(lines, at).strip().lower()
    has_flags = mode.startswith("s")  # selective dynamics
    if has_flags:
        warnings.add("constraints_ignored")
        at += 1
        mode = _line(lines, at).strip().lower()
    n = sum(counts)
    rows = lines[at + 1 : at + 1 + n]
    if len(rows) < n:
        raise Refused("bad_format", f"{n} atoms are announced, {len(rows)} lines follow")
    xyz = np.array([_numbers(lines, at + 1 + i, 3) for i in range(n)]).reshape(n, 3)
    beside = _symbols_beside(rows, counts, has_flags=has_flags)
    if symbols is None:
        symbols, named_in = _symbols_of_version_4(lines[0], counts, beside), "line 1"
    else:
        named_in = "line 6"
    for symbol, other in zip(symbols, beside, strict=True):
        if other is not None and other != symbol:
            raise Refused("bad_format", f"{named_in} names {symbol} where the lines of coordinates name {other}")
    species = tuple(symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count))
    occupancy, labels = np.ones(n), ("",) * n
    if mode.startswith(("c", "k")):
        return ListedAtoms(lattice, species, occupancy, labels, cartesian_A=xyz * factors)
    if not mode.startswith("d"):
        raise Refused("bad_format", f"line {at + 1}: expected Direct or Cartesian, found {mode[:40]!r}")
    return ListedAtoms(lattice, species, occupancy, labels, fractional=xyz)


def _line(lines: list[str], at: int) -> str:
    if at >= len(lines):
        raise Refused("bad_format", f"the file ends after {len(lines)} lines, before the coordinates")
    return lines[at]


def _numbers(lines: list[str], at: int, count: int) -> list[float]:
    words = _line(lines, at).split()[:count]
    try:
        found = [float(word.replace("d", "e").replace("D", "E")) for word in words]
    except ValueError:
        found = []
    if len(found) < count:
        raise Refused("bad_format", f"line {at + 1}: expected {count} numbers, found {lines[at].strip()[:60]!r}")
    return found


def _scale(lines: list[str]) -> list[float]:
    """Return one factor, or three of VASP 6; a single negative one is the volume."""
    words = lines[1].split()
    count = 3 if len(words) >= 3 and all(_is_number(word) for word in words[:3]) else 1
    return _numbers(lines, 1, count)


def _scaled(vectors: Array, scale: list[float]) -> tuple[Array, Array]:
    """Return the cell in A, and the factors of Cartesian coordinates."""
    factors = np.array(scale if len(scale) == 3 else scale * 3)
    if len(scale) == 1 and scale[0] < 0:
        volume = abs(float(np.linalg.det(vectors)))
        if not volume > 0:
            raise Refused("bad_cell", f"the cell vectors enclose no volume: {vectors.tolist()}")
        factors = np.full(3, (-scale[0] / volume) ** (1 / 3))
    if not np.all(factors > 0):
        raise Refused("bad_format", f"line 2: expected a scale that is not 0, found {scale}")
    return vectors * factors, factors


def _species(lines: list[str]) -> tuple[list[str] | None, list[int], int]:
    """Return the symbols (None in version 4), the number of atoms of each, and the place of the next line."""
    words = _line(lines, 5).split()
    if words and words[0].isdigit():
        return None, _counts(lines, 5), 6
    symbols = []
    for word in words:
        found = _POTENTIAL.fullmatch(word)
        if found is None or found[1].capitalize() not in ELEMENTS:
            raise Refused("unknown_element", f"line 6: {word[:40]!r} names no element")
        symbols.append(found[1].capitalize())
    counts = _counts(lines, 6)
    if len(counts) != len(symbols):
        # VASP 6 may continue both lists on further lines; nothing else does, so the file is refused.
        raise Refused("bad_format", f"{len(symbols)} elements are named, {len(counts)} numbers of atoms follow")
    return symbols, counts, 7


def _counts(lines: list[str], at: int) -> list[int]:
    counts = []
    for word in _line(lines, at).split():
        if not (word.isascii() and word.isdigit()) or len(word) > 9:
            break
        counts.append(int(word))
    if not counts or not sum(counts):
        raise Refused("bad_format", f"line {at + 1}: expected numbers of atoms, found {lines[at].strip()[:60]!r}")
    return counts


def _symbols_beside(rows: list[str], counts: list[int], *, has_flags: bool) -> list[str | None]:
    """Return the element that the lines of coordinates name after them, for each number of atoms."""
    found: list[str | None] = []
    first = 0
    for count in counts:
        named = {_symbol_after(row.split()[3:], has_flags=has_flags) for row in rows[first : first + count]} - {None}
        if len(named) > 1:
            names = " and ".join(sorted(str(name) for name in named))
            raise Refused("bad_format", f"atoms {first + 1} to {first + count} are of one element, named {names}")
        found.append(next(iter(named), None))
        first += count
    return found


def _symbol_after(words: list[str], *, has_flags: bool) -> str | None:
    """Return the element after the coordinates and the flags of frozen directions, which look like fluorine."""
    if len(words) >= _N_FLAGS and all(_FLAG.fullmatch(word) for word in words[:_N_FLAGS]):
        words = words[_N_FLAGS:]
    elif has_flags:
        return None
    return words[0] if words and words[0] in ELEMENTS else None


def _symbols_of_version_4(comment: str, counts: list[int], beside: list[str | None]) -> list[str]:
    """Return the elements of the first line, else those after the coordinates."""
    words = comment.split()
    if len(words) == len(counts) and all(word in ELEMENTS for word in words):
        return words
    named = [symbol if count else "" for symbol, count in zip(beside, counts, strict=True)]
    if None not in named:
        return [symbol for symbol in named if symbol is not None]
    raise Refused(
        "unknown_element", "a POSCAR of VASP 4 whose elements stand neither in line 1 nor after the coordinates"
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
