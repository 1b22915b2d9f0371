"""Reader of Gaussian cube files: atomic units, z fastest."""

from __future__ import annotations

import gemmi
import numpy as np

from datagen.simulate.density.grid import DensityGrid, checked_grid, parse_numbers
from datagen.store.density_codes import DensityRefused

BOHR_A = 0.529177210903
"""CODATA 2018."""


def parse_cube(text: bytes) -> DensityGrid:
    """Return the density of a cube file whose voxels fill a cell; the cell starts at the grid's origin."""
    lines = text.split(b"\n", 6)
    if len(lines) < 7:
        raise DensityRefused("truncated", f"the file ends after {len(lines)} lines")
    n_atoms, *_ = _row(lines[2], "number of atoms and origin", 4)
    if n_atoms < 0:
        raise DensityRefused("bad_format", "the cube contains orbitals, not a density: its number of atoms is negative")
    axes = [_row(line, "number of voxels and their vector", 4) for line in lines[3:6]]
    counts = [int(axis[0]) for axis in axes]
    if 0 in counts:
        raise DensityRefused("bad_format", f"expected voxels along every axis, found {counts}")
    # A negative number of voxels means lengths in angstrom; densities are e/bohr^3 all the same.
    unit = BOHR_A if counts[0] > 0 else 1.0
    grid = (abs(counts[0]), abs(counts[1]), abs(counts[2]))
    lattice = np.array([[v * abs(n) * unit for v in axis[1:4]] for n, axis in zip(counts, axes, strict=True)])
    rest = lines[6].split(b"\n", int(n_atoms))
    if len(rest) <= n_atoms:
        raise DensityRefused("truncated", "the file ends among its atoms")
    amounts: dict[str, int] = {}
    for line in rest[:-1]:
        name = gemmi.Element(int(_row(line, "an atom", 5)[0])).name
        amounts[name] = amounts.get(name, 0) + 1
    count = grid[0] * grid[1] * grid[2]
    found = len(rest[-1].split())
    if found < count or not text[-1:].isspace():  # a number at the very end may have lost digits
        raise DensityRefused("truncated", f"expected {count} numbers and the end of a line, found {found}")
    values = parse_numbers(rest[-1], count).reshape(grid) / BOHR_A**3
    return checked_grid(values, lattice, list(amounts.items()))


def _row(line: bytes, what: str, least: int) -> list[float]:
    try:
        found = [float(word) for word in line.split()]
    except ValueError:
        found = []
    if len(found) < least:
        raise DensityRefused("bad_format", f"expected {what}, found {line[:80]!r}")
    return found
