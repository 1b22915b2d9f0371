"""Split (train, validation, test) of a structure, as a function of its group."""

from __future__ import annotations

import hashlib

from curation.composition import in_hill_order
from curation.settings import SplitSettings

_LOWER_OF_PAIR = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212,
}  # fmt: skip
"""The 11 pairs of enantiomorphic space groups; a crystal and its mirror image have the same pattern."""


def group_of(reduced_formula: str, space_group: int) -> str:
    """Return the group of a structure, formula and space group; its members are always in one split.

    The formula is in Hill's order, so that splits do not depend on how formulas are written. Mirror images are in one
    group, with the lower number of their two space groups.
    """
    return f"{in_hill_order(reduced_formula)}_{_LOWER_OF_PAIR.get(space_group, space_group)}"


def split_of(group: str, seed: int, split: SplitSettings) -> str:
    """Return `train`, `validation` or `test`, a function of group and seed: new structures never move old ones."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < split.train:
        return "train"
    return "validation" if share < split.train + split.validation else "test"
