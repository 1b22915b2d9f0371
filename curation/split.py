"""Split (train, validation, test) of a structure, as a function of its group."""

from __future__ import annotations

import hashlib

from curation.composition import in_hill_order
from curation.settings import SplitSettings


def group_of(reduced_formula: str, space_group: int) -> str:
    """Return the group of a structure, formula and space group; its members are always in one split.

    The formula is in Hill's order, so that splits do not depend on how formulas are written.
    """
    return f"{in_hill_order(reduced_formula)}_{space_group}"


def split_of(group: str, seed: int, split: SplitSettings) -> str:
    """Return `train`, `validation` or `test`, a function of group and seed: new structures never move old ones."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < split.train:
        return "train"
    return "validation" if share < split.train + split.validation else "test"
