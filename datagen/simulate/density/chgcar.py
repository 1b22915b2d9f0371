"""Reader of VASP's CHGCAR and CHG, headers of VASP 4 and 5: the total density; the rest is checked for completeness."""

from __future__ import annotations

import gemmi
import numpy as np

from datagen.simulate.density.grid import Array, DensityGrid, checked_grid, parse_numbers
from datagen.store.density_codes import DensityRefused


def parse_chgcar(text: bytes) -> DensityGrid:
    """Return the total density; spin and magnetisation blocks are checked for completeness and dropped.

    The file stores rho times the cell's volume, x fastest.
    """
    lines = _Lines(text)
    lattice, amounts = _header(lines)
    grid = _grid_of(lines)
    numbers = parse_numbers(lines.block(_count(grid)), _count(grid))
    _check_rest(lines, grid, sum(n for _, n in amounts))
    volume = abs(float(np.linalg.det(lattice)))
    values = np.ascontiguousarray(numbers.reshape(grid, order="F"))
    return checked_grid(values / volume if volume > 0 else values, lattice, amounts)


class _Lines:
    """The lines of the file; blocks of numbers are found by counting lines, which is faster than counting numbers."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n"))
        self._next = 0
        self._cut = not text.endswith(b"\n")

    @property
    def at_end(self) -> bool:
        return self._start() >= len(self._text)

    def take(self) -> bytes:
        if self.at_end:
            raise DensityRefused("truncated", f"the file ends after {self._next} lines")
        line = self._text[self._start() : self._end(self._next)]
        self._next += 1
        return line

    def block(self, count: int) -> bytes:
        """Return the lines of the next `count` numbers; all lines but the last are as long as the first."""
        columns = len(self._text[self._start() : self._end(self._next)].split())
        n_lines = -(-count // columns) if columns else 0
        last = self._next + n_lines - 1
        found = len(self._ends) + self._cut - self._next
        if not columns or found < n_lines:
            raise DensityRefused(
                "truncated", f"expected {count} numbers, the file ends after {found * columns} at most"
            )
        start, end = self._start(), self._end(last)
        self._next += n_lines
        words = self._text[self._end(last - 1) if n_lines > 1 else start : end].split()
        # Complete files end with a newline; a number at the very end may have lost digits.
        if len(words) != count - (n_lines - 1) * columns or (self._cut and self.at_end):
            raise DensityRefused("truncated", f"the last line of {count} numbers is not complete")
        return self._text[start:end]

    def _start(self) -> int:
        return int(self._ends[self._next - 1]) + 1 if 0 < self._next <= len(self._ends) else self._past_end()

    def _past_end(self) -> int:
        return 0 if self._next == 0 else len(self._text)

    def _end(self, line: int) -> int:
        return int(self._ends[line]) if line < len(self._ends) else len(self._text)


def _header(lines: _Lines) -> tuple[Array, list[tuple[str, int]]]:
    comment = lines.take()
    scale = _floats(lines.take(), "a scale")
    vectors = [_floats(lines.take(), "a cell vector")[:3] for _ in range(3)]
    if any(len(vector) != 3 for vector in vectors):
        raise DensityRefused("bad_format", "expected three cell vectors of three numbers each")
    lattice = np.array(vectors)
    if len(scale) == 3:
        lattice = lattice * np.array(scale)
    elif scale[0] < 0:  # in VASP a negative scale is the volume
        lattice = lattice * (-scale[0] / max(abs(float(np.linalg.det(lattice))), 1e-300)) ** (1 / 3)
    else:
        lattice = lattice * scale[0]
    words = lines.take().split()
    if words and words[0].isdigit():  # VASP 4 has no line of symbols; the comment often has them
        names = [word.decode(errors="replace") for word in comment.split()]
        if len(names) != len(words) or not all(_is_element(name) for name in names):
            names = [""] * len(words)
    else:
        names = [word.split(b"_")[0].split(b"/")[0].decode(errors="replace") for word in words]
        if not names or not all(_is_element(name) for name in names):
            raise DensityRefused("bad_format", f"expected element symbols, found {b' '.join(words)[:80]!r}")
        words = lines.take().split()
    if len(words) != len(names) or not all(word.isdigit() for word in words):
        raise DensityRefused("bad_format", f"expected numbers of atoms, found {b' '.join(words)[:80]!r}")
    counts = [int(word) for word in words]
    mode = lines.take()
    if mode.lstrip()[:1] in b"sS" and mode.strip():
        mode = lines.take()
    for _ in range(sum(counts)):
        if len(_floats(lines.take(), "an atom's coordinates")) < 3:
            raise DensityRefused("bad_format", "expected three coordinates of every atom")
    return lattice, list(zip(names, counts, strict=True))


def _grid_of(lines: _Lines) -> tuple[int, int, int]:
    line = lines.take()
    while not line.strip():
        line = lines.take()
    grid = _as_grid(line)
    if grid is None:
        raise DensityRefused("bad_format", f"expected three grid dimensions, found {line[:80]!r}")
    return grid


def _check_rest(lines: _Lines, grid: tuple[int, int, int], n_atoms: int) -> None:
    """Check that what follows the total density is complete; otherwise the file was cut."""
    occupancies = 0
    while not lines.at_end:
        line = lines.take()
        words = line.split()
        if not words:
            continue
        if line.startswith(b"augmentation occupancies"):
            if not words[-1].isdigit():
                raise DensityRefused("bad_format", f"expected a count, found {line[:80]!r}")
            occupancies += b"imaginary" not in line
            lines.block(int(words[-1]))
        elif (other := _as_grid(line)) is not None:
            _check_occupancies(occupancies, n_atoms)
            occupancies = 0
            if other != grid:
                raise DensityRefused("grid_mismatch", f"expected another block of {grid} points, found {other}")
            lines.block(_count(grid))
        else:
            _floats(line, "magnetic moments")
    _check_occupancies(occupancies, n_atoms)


def _check_occupancies(found: int, n_atoms: int) -> None:
    if found not in (0, n_atoms):
        raise DensityRefused("truncated", f"augmentation occupancies of {found} of {n_atoms} atoms")


def _as_grid(line: bytes) -> tuple[int, int, int] | None:
    words = line.split()
    if len(words) != 3 or not all(word.isdigit() for word in words):
        return None
    x, y, z = (int(word) for word in words)
    return (x, y, z) if min(x, y, z) > 0 else None


def _count(grid: tuple[int, int, int]) -> int:
    return grid[0] * grid[1] * grid[2]


def _floats(line: bytes, what: str) -> list[float]:
    """Return the leading numbers of a line."""
    found: list[float] = []
    for word in line.split():
        try:
            found.append(float(word))
        except ValueError:
            break
    if not found:
        raise DensityRefused("bad_format", f"expected {what}, found {line[:80]!r}")
    return found


def _is_element(name: str) -> bool:
    return gemmi.Element(name).atomic_number > 0
