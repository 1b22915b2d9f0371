"""The content of a cell compared with the formula and Z that a CIF states."""

from __future__ import annotations

from dataclasses import dataclass

from curation.composition import element_amounts, formula_difference
from curation.settings import CurationSettings

_HYDROGEN = ("H", "D")
NEARLY_EQUAL = 0.05
"""Largest difference of an atomic fraction at which a cell agrees with the formula."""


@dataclass(frozen=True)
class Content:
    """Comparison of a cell's atoms with a formula."""

    difference: float
    """Largest difference of an atomic fraction, 0 to 1."""
    heavy_difference: float
    """The same without hydrogen, whose atoms are often not located."""
    foreign: tuple[str, ...]
    """Elements other than hydrogen that the formula does not have, traces left out."""
    lacks_hydrogen: bool
    """Whether there is less hydrogen than the formula has."""
    units: float
    """Formula units in the cell, counted without hydrogen where only hydrogen disagrees."""


def compare(amounts: dict[str, float], formula: dict[str, float], settings: CurationSettings) -> Content:
    """Compare the atoms of a cell, amounts by species, with a formula, amounts by element."""
    difference, units = formula_difference(amounts, formula)
    heavy = {e: v for e, v in element_amounts(amounts).items() if e not in _HYDROGEN}
    stated = {e: v for e, v in formula.items() if e not in _HYDROGEN}
    if not heavy or not stated:
        return Content(difference, difference, (), lacks_hydrogen=False, units=units)
    heavy_difference, heavy_units = formula_difference(heavy, stated)
    if difference > settings.formula_tolerance >= heavy_difference:
        units = heavy_units
    total, all_stated = sum(amounts.values()), sum(formula.values())
    hydrogen = sum(amounts.get(e, 0.0) for e in _HYDROGEN) / total
    lacks = hydrogen < sum(formula.get(e, 0.0) for e in _HYDROGEN) / all_stated
    foreign = tuple(sorted(e for e in heavy.keys() - stated.keys() if heavy[e] > settings.formula_tolerance * total))
    return Content(difference, heavy_difference, foreign, lacks_hydrogen=lacks, units=units)


def agrees(amounts: dict[str, float], formula: dict[str, float], z: float, settings: CurationSettings) -> bool:
    """Return whether the atoms are formula x Z, not counting hydrogen, nearly enough to tell symmetries apart.

    Contents under other symmetries differ by factors of two and more.
    """
    content = compare(amounts, formula, settings)
    return content.heavy_difference <= NEARLY_EQUAL and abs(content.units / z - 1.0) <= 2.0 * NEARLY_EQUAL


def contradicts_z(content: Content, formula: dict[str, float], z: float, settings: CurationSettings) -> bool:
    """Return whether the number of formula units in the cell is not Z.

    Some programs write the content of the whole cell as the formula, beside a Z of its smaller formula units: then the
    amounts are multiples of Z. One unit of any other formula is what lost operators leave.
    """
    allowed = [z]
    if all(abs(v / z - round(v / z)) <= settings.formula_tolerance for v in formula.values()):
        allowed.append(1.0)
    return all(abs(content.units / n - 1.0) > settings.formula_tolerance for n in allowed)
