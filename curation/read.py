"""From the text of one CIF block to the atoms of its cell, every doubt a warning or a refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gemmi

from curation.atoms import Atoms
from curation.cell import read_lattice
from curation.choose_symmetry import best_expansion
from curation.cif_block import Block, read_block, text_of
from curation.composition import parse_formula
from curation.content import compare_formula
from curation.operators import read_operators, stated_number
from curation.reasons import Refused
from curation.settings import CurationSettings

_MODULATED = ("_cell_modulation_dimension", "_space_group_ssg_name", "_atom_site_Fourier_wave_vector_seq_id")
_MAGNETIC = ("_atom_site_moment.label", "_atom_site_moment_label", "_space_group_magn.name_BNS")


@dataclass(frozen=True, eq=False)
class Reading:
    """What a CIF block says."""

    atoms: Atoms
    min_distance_A: float


def read_cif(text: str, settings: CurationSettings, row: dict[str, Any]) -> Reading:
    """Atoms of the whole cell; raises `Refused` where the block holds no structure that can be trusted.

    What was seen on the way goes into the row, under the names of a verdict's columns.
    """
    warnings: set[str] = set()
    try:
        return _read(text, settings, row, warnings)
    finally:
        row["warnings"] = tuple(sorted(warnings))


def _read(text: str, settings: CurationSettings, row: dict[str, Any], warnings: set[str]) -> Reading:
    block = read_block(text, warnings)
    formula_text = text_of(block, "_chemical_formula_sum")
    formula = parse_formula(formula_text) if formula_text else None
    row |= {"stated_formula": formula_text, "stated_space_group": stated_number(block)}
    lattice = read_lattice(block, warnings)
    operators = read_operators(block, warnings)
    expansion, remarks = best_expansion(block, lattice, operators, formula, _z(block), settings)
    warnings |= remarks
    row["max_occupancy"] = expansion.max_occupancy
    for tags, code in ((_MODULATED, "modulated"), (_MAGNETIC, "magnetic")):
        if any(len(block.find_values(tag)) for tag in tags):
            warnings.add(code)
    if formula is not None:
        row["formula_difference"] = compare_formula(expansion.atoms, formula, _z(block), settings, warnings)
        if "formula_mismatch" in warnings and settings.formula_mismatch == "refuse":
            raise Refused(
                "formula_mismatch",
                f"the CIF states {formula_text}; an atomic fraction differs by {row['formula_difference']:.3f}",
            )
    return Reading(expansion.atoms, expansion.min_distance_A)


def _z(block: Block) -> float | None:
    text = text_of(block, "_cell_formula_units_Z")
    number = float(gemmi.cif.as_number(text)) if text else math.nan
    return number if number > 0 else None
