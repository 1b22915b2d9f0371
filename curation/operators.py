"""Symmetry operations of a CIF block, from its list of operators, name, Hall symbol or number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.reasons import Refused

Array = NDArray[np.float64]

_OPERATOR_TAGS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_magn_operation.xyz",
    "_space_group_symop.magn_operation_xyz",
)
_CENTRING_TAGS = ("_space_group_symop_magn_centering.xyz", "_space_group_symop.magn_centering_xyz")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_HM_TAGS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_ref")
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")


@dataclass(frozen=True, eq=False)
class Operators:
    """Rotations and translations acting on fractional coordinates (columns), the identity first."""

    rotations: Array
    translations: Array
    number: int | None
    """Space group of the operators, if they are a tabulated setting."""
    origins: tuple[str, ...] = ()
    """Other settings of the same name."""

    def __len__(self) -> int:
        return len(self.rotations)


@dataclass(frozen=True, eq=False)
class StatedSymmetry:
    """Symmetry as stated by a CIF block."""

    listed: Operators | None
    """Operators of the list, if it is present and forms a group."""
    problem: Refused | None
    """Refusal of a list that cannot be used."""
    named: tuple[Operators, ...]
    """Operators of the Hermann-Mauguin name, Hall symbol and number, if stated."""

    @property
    def contradicted(self) -> bool:
        """Whether the list of operators is unusable or contradicts a named space group."""
        if self.listed is None:
            return self.problem is not None
        if self.listed.number is None:
            return False
        return any(operators.number != self.listed.number for operators in self.named)


def read_symmetry(block: gemmi.cif.Block, warnings: set[str]) -> StatedSymmetry:
    """Return the operators that are listed and those that are named."""
    listed, problem = None, None
    for tag in _OPERATOR_TAGS:
        column = block.find_values(tag)
        if len(column):
            triplets = [column.str(i) for i in range(len(column))]
            if "magn" in tag:
                triplets = _without_time_reversal(triplets, block)
            try:
                listed, remarks = _from_triplets(tuple(triplets))
                warnings.update(remarks)
            except Refused as refused:
                problem = refused
            break
    return StatedSymmetry(listed, problem, _named_operators(block))


def _named_operators(block: gemmi.cif.Block) -> tuple[Operators, ...]:
    groups = [_named_group(block)]
    if hall := _first(block, _HALL_TAGS):
        groups.append(_find_hall(hall))
    text = _first(block, _NUMBER_TAGS)
    if text is not None and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 230:
        number = int(text)
        if all(group is None or group.number != number for group in groups):
            groups.append(gemmi.find_spacegroup_by_number(number))
    names = dict.fromkeys(group.xhm() for group in groups if group is not None)
    return tuple(from_setting(name) for name in names)


@lru_cache(maxsize=256)
def from_setting(xhm: str) -> Operators:
    """Return the operators of a tabulated setting, named as gemmi names it (`F d -3 m:2`)."""
    group = gemmi.find_spacegroup_by_name(xhm)
    others = tuple(
        g.xhm()
        for g in gemmi.spacegroup_table()
        if g.hm == group.hm and g.number == group.number and g.ext != group.ext
    )
    return _operators(list(group.operations()), int(group.number), others if group.ext in "12" else ())


def stated_number(block: gemmi.cif.Block) -> int | None:
    """Return the stated space group number, or None."""
    text = _first(block, _NUMBER_TAGS)
    if text is not None and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 230:
        return int(text)
    named = _named_group(block)
    return None if named is None else int(named.number)


def _first(block: gemmi.cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and value not in ("?", "."):
            return str(gemmi.cif.as_string(value)).strip() or None
    return None


def _named_group(block: gemmi.cif.Block) -> gemmi.SpaceGroup | None:
    hall = _first(block, _HALL_TAGS)
    alpha, gamma = (_angle(block, name) for name in ("alpha", "gamma"))
    for hm in (_first(block, _HM_TAGS[i : i + 1]) for i in range(len(_HM_TAGS))):
        found = _find_group(hm, alpha, gamma) if hm else None
        if found is not None and hall is None:
            return found
    return _find_hall(hall) if hall else None


def _angle(block: gemmi.cif.Block, name: str) -> float:
    value = block.find_value(f"_cell_angle_{name}")
    number = gemmi.cif.as_number(value) if value is not None else 0.0
    return number if number == number else 0.0


@lru_cache(maxsize=1024)
def _find_group(hm: str, alpha: float, gamma: float) -> gemmi.SpaceGroup | None:
    text = hm.replace("_", "").replace("(", "").replace(")", "").strip()
    for variant in (hm, text, text.rstrip("HhRrSsZz").strip() + {"S": ":1", "Z": ":2"}.get(text[-1:].upper(), "")):
        found = gemmi.find_spacegroup_by_name(variant, alpha, gamma) if variant else None
        if found is not None:
            return found
    return None


@lru_cache(maxsize=1024)
def _find_hall(hall: str) -> gemmi.SpaceGroup | None:
    try:
        return gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall.replace("_", " ")))
    except (RuntimeError, ValueError):
        return None


def _without_time_reversal(triplets: list[str], block: gemmi.cif.Block) -> list[str]:
    """Return the crystal's operations from those of a magnetic group: every operation times every centring."""
    plain = [gemmi.Op(",".join(t.split(",")[:3])) for t in triplets]
    centrings = [gemmi.Op("x,y,z")]
    for tag in _CENTRING_TAGS:
        column = block.find_values(tag)
        if len(column):
            centrings = [gemmi.Op(",".join(column.str(i).split(",")[:3])) for i in range(len(column))]
            break
    return list(dict.fromkeys((c * p).wrap().triplet() for c in centrings for p in plain))


@lru_cache(maxsize=512)
def _from_triplets(triplets: tuple[str, ...]) -> tuple[Operators, tuple[str, ...]]:
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
    return _operators(list(distinct.values()), None if group is None else int(group.number)), tuple(remarks)


def _is_closed(ops: dict[str, gemmi.Op]) -> bool:
    """Return whether every product is in the set; gemmi completes rotations but not their translations."""
    return all((a * b).wrap().triplet() in ops for a in ops.values() for b in ops.values())


def _plain(triplet: str) -> str:
    return triplet.strip().strip("'\"").replace(" ", "").rstrip(";")


def _operators(ops: list[gemmi.Op], number: int | None, origins: tuple[str, ...] = ()) -> Operators:
    ops = sorted((op.wrap() for op in ops), key=lambda op: op.triplet() != "x,y,z")
    rotations = np.array([op.rot for op in ops], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.float64) / gemmi.Op.DEN
    return Operators(rotations, translations, number, origins)
