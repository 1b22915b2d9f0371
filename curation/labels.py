"""Vocabulary of the labels: crystal systems and number of elements."""

from __future__ import annotations

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
"""Label 1 is triclinic, 7 cubic: the order of AlphaDiffract and of the space-group numbers."""

_LAST_SPACE_GROUP = (2, 15, 74, 142, 167, 194, 230)

N_ELEMENTS = 118


def crystal_system_of(space_group: int) -> int:
    """Return the crystal system 1..7 of a space-group number 1..230 (International Tables A)."""
    if not 1 <= space_group <= 230:
        raise ValueError(f"space group numbers run from 1 to 230, not {space_group}")
    return next(i for i, last in enumerate(_LAST_SPACE_GROUP, start=1) if space_group <= last)
