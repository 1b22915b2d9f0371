"""The unit cell that a CIF block states, and the limits of any cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import gemmi
import numpy as np

from curation.atoms import Array, cell_matrix
from curation.cif_block import Block, text_of
from curation.reasons import Refused

_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_SHORTEST_EDGE_A, _LONGEST_EDGE_A = 0.1, 1e5


def read_lattice(block: Block, warnings: set[str]) -> Array:
    """Return the cell vectors as rows, A; raise `Refused` if no crystal can have the cell."""
    values: list[float] = []
    for tag in _CELL_TAGS:
        text = block.find_value(f"_cell_{tag}")
        if values[2:] and text in (None, "."):  # the dictionary's default for angles
            text = "90"
        if text is None or text in ("?", "."):
            raise Refused("no_cell", f"_cell_{tag} is not stated")
        values.append(float(gemmi.cif.as_number(text)))
        if not math.isfinite(values[-1]):
            raise Refused("bad_cell", f"_cell_{tag} is {text[:40]!r}, not a number")
    lattice = check_cell(values)
    stated = text_of(block, "_cell_volume")
    if stated and abs(gemmi.cif.as_number(stated) / float(np.linalg.det(lattice)) - 1.0) > 0.01:
        warnings.add("volume_contradiction")
    return lattice


def check_cell(values: Sequence[float]) -> Array:
    """Return the cell vectors as rows, A, of lengths in A and angles in degrees; raise `Refused` if it is no cell."""
    if not min(values) > 0 or not max(values[3:]) < 180:
        raise Refused("bad_cell", f"lengths must be > 0 and angles between 0 and 180 degrees, found {list(values)}")
    if not _SHORTEST_EDGE_A <= min(values[:3]) <= max(values[:3]) <= _LONGEST_EDGE_A:
        raise Refused(
            "bad_cell",
            f"no crystal has edges of {list(values[:3])} A, only {_SHORTEST_EDGE_A:g} to {_LONGEST_EDGE_A:g} are read",
        )
    lattice = cell_matrix(*values)
    volume = float(np.linalg.det(lattice)) if np.isfinite(lattice).all() else 0.0
    if not volume > 1e-3 * values[0] * values[1] * values[2]:
        raise Refused("bad_cell", f"angles of {list(values[3:])} degrees enclose no volume")
    return lattice
