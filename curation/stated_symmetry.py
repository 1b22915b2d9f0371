"""Symmetry that a CIF block states: its list of operators, and what names and number of the space group can mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import gemmi

from curation.operators import Operators, from_hall, from_setting, from_triplets
from curation.reasons import Refused

_OPERATOR_TAGS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_magn_operation.xyz",
    "_space_group_symop.magn_operation_xyz",
)
_CENTRING_TAGS = ("_space_group_symop_magn_centering.xyz", "_space_group_symop.magn_centering_xyz")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_HM_TAGS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M")
_REFERENCE_TAG = "_space_group_name_H-M_ref"
"""Name of the reference setting, which need not be the setting of the coordinates."""
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")


@dataclass(frozen=True, eq=False)
class StatedSymmetry:
    """Symmetry as stated by a CIF block."""

    listed: Operators | None
    """Operators of the list, if it is present and forms a group."""
    problem: Refused | None
    """Refusal of a list that cannot be used."""
    readings: tuple[Operators, ...]
    """Operators of every setting that the names and the number may mean."""

    @property
    def numbers(self) -> tuple[int | None, ...]:
        """The space groups that are named, one if all names agree."""
        return tuple(dict.fromkeys(operators.number for operators in self.readings))

    @property
    def contradicted(self) -> bool:
        """Whether the list of operators is unusable, or the list and the names are of several space groups."""
        if self.listed is None:
            return self.problem is not None or len(self.numbers) > 1
        return any(number != self.listed.number for number in self.numbers)


def read_symmetry(block: gemmi.cif.Block, warnings: set[str]) -> StatedSymmetry:
    """Return the operators that are listed and those that are named."""
    listed, problem = None, None
    for tag in _OPERATOR_TAGS:
        column = block.find_values(tag)
        if len(column):
            triplets = [column.str(i) for i in range(len(column))]
            try:
                if "magn" in tag:
                    triplets = _without_time_reversal(triplets, block)
                listed, remarks = from_triplets(tuple(triplets))
                warnings.update(remarks)
            except Refused as refused:
                problem = refused
            break
    readings = _readings(block)
    return StatedSymmetry(listed, problem, tuple(o for settings in readings.values() for o in settings))


def stated_number(block: gemmi.cif.Block) -> int | None:
    """Return the stated space group number, or None."""
    number = _number(block)
    return number if number is not None else next(iter(_readings(block)), None)


def _readings(block: gemmi.cif.Block) -> dict[int | None, tuple[Operators, ...]]:
    """Return for each space group that is named the settings that are possible.

    A Hall symbol fixes a setting. A Hermann-Mauguin name may leave the origin open, a number the axes too. Names of one
    space group have the meanings that they share, or, if they share none, all of them.
    """
    found: dict[int | None, tuple[Operators, ...]] = {}
    hall = _first(block, _HALL_TAGS)
    operators = from_hall(hall) if hall else None
    if operators is not None:
        found[operators.number] = (operators,)
    for tag in _HM_TAGS:
        name = _first(block, (tag,))
        settings = _settings_of_name(name, _angle(block, "alpha"), _angle(block, "gamma")) if name else ()
        if settings:
            meant = tuple(from_setting(setting) for setting in settings)
            known = found.get(meant[0].number, meant)
            shared = tuple(o for o in known if o.setting in settings)
            # An origin that no table has cannot be compared with a name.
            is_untabulated = all(not o.setting for o in known)
            found[meant[0].number] = known if is_untabulated else shared or (*known, *meant)
    reference = _first(block, (_REFERENCE_TAG,))
    settings = _settings_of_name(reference, _angle(block, "alpha"), _angle(block, "gamma")) if reference else ()
    for number in (from_setting(settings[0]).number if settings else None, _number(block)):
        if number is not None and number not in found:
            found[number] = tuple(from_setting(setting) for setting in _settings_of_number(number))
    return found


@lru_cache(maxsize=1024)
def _settings_of_name(hm: str, alpha: float, gamma: float) -> tuple[str, ...]:
    """Return the settings that a name may mean: with two origins, both, unless it ends with `:1` or `:2`."""
    text = hm.replace("_", "").replace("(", "").replace(")", "").strip()
    for variant in (hm, text, text.rstrip("HhRrSsZz").strip() + {"S": ":1", "Z": ":2"}.get(text[-1:].upper(), "")):
        group = gemmi.find_spacegroup_by_name(variant, alpha, gamma) if variant else None
        if group is not None:
            is_open = group.ext in ("1", "2") and ":" not in variant
            return _names(_same_name(group)) if is_open else (str(group.xhm()),)
    return ()


def _same_name(group: gemmi.SpaceGroup) -> list[gemmi.SpaceGroup]:
    return [g for g in gemmi.spacegroup_table() if g.hm == group.hm and g.number == group.number]


@lru_cache(maxsize=256)
def _settings_of_number(number: int) -> tuple[str, ...]:
    """Return the settings of a space group in cells of the usual size, or rhombohedral, the reference setting first."""
    reference = gemmi.find_spacegroup_by_number(number)
    order = len(list(reference.operations()))
    others = [g for g in gemmi.spacegroup_table() if g.number == number]
    return _names([reference, *(g for g in others if g.ext == "R" or len(list(g.operations())) == order)])


def _names(groups: Iterable[gemmi.SpaceGroup]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(group.xhm()) for group in groups))


def _number(block: gemmi.cif.Block) -> int | None:
    text = _first(block, _NUMBER_TAGS)
    is_number = text is not None and text.isascii() and text.isdecimal() and len(text) <= 3
    return int(text) if text is not None and is_number and 1 <= int(text) <= 230 else None


def _first(block: gemmi.cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and value not in ("?", "."):
            return str(gemmi.cif.as_string(value)).strip() or None
    return None


def _angle(block: gemmi.cif.Block, name: str) -> float:
    value = block.find_value(f"_cell_angle_{name}")
    number = gemmi.cif.as_number(value) if value is not None else 0.0
    return number if number == number else 0.0


def _without_time_reversal(triplets: list[str], block: gemmi.cif.Block) -> list[str]:
    """Return the crystal's operations from those of a magnetic group: every operation times every centring."""
    centrings = ["x,y,z"]
    for tag in _CENTRING_TAGS:
        column = block.find_values(tag)
        if len(column):
            centrings = [column.str(i) for i in range(len(column))]
            break
    try:
        plain, shifts = ([gemmi.Op(",".join(t.split(",")[:3])) for t in given] for given in (triplets, centrings))
    except (RuntimeError, ValueError) as error:
        raise Refused("bad_symmetry", f"an operator cannot be read: {error}") from error
    return list(dict.fromkeys((shift * p).wrap().triplet() for shift in shifts for p in plain))
