"""Operators of space groups: of a tabulated setting, a Hall symbol or a list of triplets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from curation.reasons import Refused

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Operators:
    """Rotations and translations acting on fractional coordinates (columns), the identity first."""

    rotations: Array
    translations: Array
    number: int | None
    """Space group of the operators, in any setting; None if it cannot be found."""
    setting: str = ""
    """Name of a tabulated setting."""

    def __len__(self) -> int:
        return len(self.rotations)


@lru_cache(maxsize=1024)
def from_setting(xhm: str) -> Operators:
    """Return the operators of a tabulated setting, named as gemmi names it (`F d -3 m:2`)."""
    group = gemmi.find_spacegroup_by_name(xhm)
    return _operators(list(group.operations()), int(group.number), xhm)


@lru_cache(maxsize=1024)
def from_hall(hall: str) -> Operators | None:
    """Return the operators of a Hall symbol, or None if it cannot be read."""
    try:
        operations = gemmi.symops_from_hall(hall.replace("_", " "))
    except (RuntimeError, ValueError):
        return None
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(operations)
    if group is not None:
        return from_setting(str(group.xhm()))
    ops = list(operations)
    return _operators(ops, _untabulated_number(ops))


@lru_cache(maxsize=512)
def from_triplets(triplets: tuple[str, ...]) -> tuple[Operators, tuple[str, ...]]:
    """Return the operators of a list, completed if they generate a tabulated group, and remarks on it."""
    try:
        ops = [gemmi.Op(_plain(t)).wrap() for t in triplets]
    except (ValueError, RuntimeError) as error:
        raise Refused("bad_symmetry", f"an operator cannot be read: {error}") from error
    distinct = {op.triplet(): op for op in ops}
    distinct.setdefault("x,y,z", gemmi.Op("x,y,z"))
    remarks = []
    if any(abs(op.det_rot()) != gemmi.Op.DEN**3 for op in distinct.values()):
        raise Refused("bad_symmetry", "an operator is neither a rotation nor a rotoinversion")
    group_ops = gemmi.GroupOps(list(distinct.values()))
    try:
        group_ops.add_missing_elements()
    except RuntimeError as error:
        raise Refused("bad_symmetry", f"the {len(distinct)} operators form no group: {error}") from error
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(group_ops)
    closed = {op.wrap().triplet(): op.wrap() for op in group_ops}
    if foreign := distinct.keys() - closed.keys():
        raise Refused(
            "bad_symmetry",
            f"the {len(distinct)} operators form no group: {min(foreign)} is no product of the others",
        )
    if len(closed) != len(distinct):
        if group is None:
            raise Refused("bad_symmetry", f"the {len(distinct)} operators form no group, nor do they generate one")
        distinct = closed
        remarks.append("operators_completed")
    if group is None and not _is_closed(distinct):
        raise Refused("bad_symmetry", f"the {len(distinct)} operators form no group: some products are not among them")
    ops = list(distinct.values())
    return _operators(ops, _untabulated_number(ops) if group is None else int(group.number)), tuple(remarks)


def _is_closed(ops: dict[str, gemmi.Op]) -> bool:
    """Return whether every product is in the set; gemmi completes rotations but not their translations."""
    return all((a * b).wrap().triplet() in ops for a in ops.values() for b in ops.values())


def _plain(triplet: str) -> str:
    return triplet.strip().strip("'\"").replace(" ", "").rstrip(";")


def _untabulated_number(ops: list[gemmi.Op]) -> int | None:
    """Return the space group of operators on another origin or other axes than any table has, or None.

    The cell is any that has their symmetry; the space group does not depend on it.
    """
    found = _operators(ops, None)
    generic = np.array([[1.0, 0.07, 0.11], [0.07, 1.3, 0.13], [0.11, 0.13, 1.7]]) * 25.0
    metric = np.mean(found.rotations.transpose(0, 2, 1) @ generic @ found.rotations, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces a change of its errors
        named = spglib.get_spacegroup_type_from_symmetry(
            np.rint(found.rotations).astype(np.intc), found.translations, np.linalg.cholesky(metric), 1e-5
        )
    return None if named is None else int(named.number)


def _operators(ops: list[gemmi.Op], number: int | None, setting: str = "") -> Operators:
    ops = sorted((op.wrap() for op in ops), key=lambda op: op.triplet() != "x,y,z")
    rotations = np.array([op.rot for op in ops], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.float64) / gemmi.Op.DEN
    return Operators(rotations, translations, number, setting)
