"""The content of a cell compared with the formula and Z that a CIF states."""

from __future__ import annotations

from curation.atoms import Atoms
from curation.composition import formula_difference
from curation.settings import CurationSettings


def content_agrees(atoms: Atoms, formula: dict[str, float], z: float, settings: CurationSettings) -> bool:
    """Return whether the atoms are formula x Z."""
    difference, units = formula_difference(atoms.amounts(), formula)
    return difference <= settings.formula_tolerance and abs(units / z - 1.0) < settings.formula_tolerance


def compare_formula(
    atoms: Atoms, formula: dict[str, float], z: float | None, settings: CurationSettings, warnings: set[str]
) -> float:
    """Return the largest difference of an atomic fraction from the formula; add what contradicts it to the warnings."""
    amounts = atoms.amounts()
    difference, units = formula_difference(amounts, formula)
    if difference > settings.formula_tolerance:
        without_h = {e: v for e, v in formula.items() if e != "H"}
        heavy = {s: v for s, v in amounts.items() if s not in ("H", "D")}
        if without_h and heavy and formula_difference(heavy, without_h)[0] <= settings.formula_tolerance:
            warnings.add("hydrogens_missing")
            units = formula_difference(heavy, without_h)[1]
        else:
            warnings.add("formula_mismatch")
            return difference
    # Some programs write the whole cell's content as the formula beside a Z of its formula units.
    if z is not None and all(abs(units / n - 1.0) > settings.formula_tolerance for n in (z, 1.0)):
        warnings.add("z_contradiction")
    return difference
