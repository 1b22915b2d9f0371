"""The atoms of a cell as a file lists them, before any check."""

from __future__ import annotations

from dataclasses import dataclass

from curation.atoms import Array


@dataclass(frozen=True, eq=False)
class ListedAtoms:
    """A cell and all of its atoms, in the file's order; either kind of coordinates is None."""

    lattice_A: Array
    """Rows are the cell vectors, in any orientation."""
    symbols: tuple[str, ...]
    """Element of each site, possibly with its charge: `Fe`, `Fe3+`."""
    occupancy: Array
    labels: tuple[str, ...]
    """As the file names the sites; empty where it does not."""
    fractional: Array | None = None
    cartesian_A: Array | None = None
