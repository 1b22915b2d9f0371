"""The split (train, validation, test) of a structure, decided by its group alone."""

from __future__ import annotations

import hashlib

from curation.composition import in_hill_order
from curation.settings import SplitSettings


def group_of(reduced_formula: str, space_group: int) -> str:
    """What must not be torn apart by a split: structures of one formula and one space group.

    In Hill's order, which rests on the alphabet alone: sides must never move, however formulas are written.
    """
    return f"{in_hill_order(reduced_formula)}_{space_group}"


def split_of(group: str, seed: int, split: SplitSettings) -> str:
    """`train`, `validation` or `test`: a function of group and seed, so that new structures never move old ones."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < split.train:
        return "train"
    return "validation" if share < split.train + split.validation else "test"
