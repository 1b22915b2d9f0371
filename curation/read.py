"""Reading of the atoms of a cell from a text; doubts are warnings or refusals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gemmi

from catalogs.record import Format
from curation.atoms import Atoms
from curation.cell import read_lattice
from curation.choose_symmetry import StatedContent, best_expansion
from curation.cif_block import Block, read_block, text_of
from curation.composition import parse_formula, reduced_formula
from curation.content import compare, contradicts_z
from curation.expand import Expansion
from curation.listed import read_listed
from curation.plausible import LARGEST_VOLUME, SHORTEST_CONTACT, SMALLEST_VOLUME, volume_ratio
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.stated_symmetry import read_symmetry, stated_number

_MODULATED = ("_cell_modulation_dimension", "_space_group_ssg_name", "_atom_site_Fourier_wave_vector_seq_id")
MOST_SPACIOUS = 2.0
"""Multiple of the usual volume of a cell's atoms beyond which operators are missing."""
_MAGNETIC = ("_atom_site_moment.label", "_atom_site_moment_label", "_space_group_magn.name_BNS")


@dataclass(frozen=True, eq=False)
class Reading:
    """The structure that a text states."""

    atoms: Atoms
    min_distance_A: float


def read_structure(text: str, kind: Format, settings: CurationSettings, row: dict[str, Any]) -> Reading:
    """Return the atoms of the whole cell; raise `Refused` if the text has no trustworthy structure.

    Observations go into the row, under the names of a verdict's columns.
    """
    warnings: set[str] = set()
    try:
        if kind == "cif":
            return _read_cif(text, settings, row, warnings)
        expansion = read_listed(text, kind, settings, warnings)
        row["max_occupancy"] = expansion.max_occupancy
        _check_plausible(expansion, settings, row, warnings)
        return Reading(expansion.atoms, expansion.min_distance_A)
    finally:
        row["warnings"] = tuple(sorted(warnings))


def _read_cif(text: str, settings: CurationSettings, row: dict[str, Any], warnings: set[str]) -> Reading:
    block = read_block(text, warnings)
    formula_text = text_of(block, "_chemical_formula_sum")
    formula, z = parse_formula(formula_text) if formula_text else None, _z(block)
    if formula_text and formula is None:
        warnings.add("formula_unread")
    row |= {"stated_formula": formula_text, "stated_space_group": stated_number(block)}
    lattice = read_lattice(block, warnings)
    for tags, code in ((_MODULATED, "modulated"), (_MAGNETIC, "magnetic")):
        if any(len(block.find_values(tag)) for tag in tags):
            warnings.add(code)
    symmetry = read_symmetry(block, warnings)
    try:
        expansion, remarks = best_expansion(block, lattice, symmetry, StatedContent(formula, z), settings)
    except Refused as refused:
        if refused.code == "no_symmetry" and "modulated" in warnings:
            raise Refused("modulated", "only a superspace group is stated") from refused
        raise
    warnings |= remarks
    row["max_occupancy"] = expansion.max_occupancy
    if formula is not None:
        _check_content(expansion.atoms, formula, z, settings, row, warnings)
    _check_plausible(expansion, settings, row, warnings)
    return Reading(expansion.atoms, expansion.min_distance_A)


def _check_content(
    atoms: Atoms,
    formula: dict[str, float],
    z: float | None,
    settings: CurationSettings,
    row: dict[str, Any],
    warnings: set[str],
) -> None:
    """Compare the atoms with the formula and Z that are stated; refuse contradictions over the limits."""
    amounts = atoms.amounts()
    content = compare(amounts, formula, settings)
    row["formula_difference"] = content.difference
    if settings.max_formula_difference < 1.0 and (
        content.foreign or content.heavy_difference > settings.max_formula_difference
    ):
        foreign = f"; not in it: {', '.join(content.foreign)}" if content.foreign else ""
        raise Refused(
            "formula_mismatch",
            f"the CIF states {row['stated_formula']}, the atoms make {reduced_formula(amounts)}: without hydrogen an "
            f"atomic fraction differs by {content.heavy_difference:.3f}, allowed are "
            f"{settings.max_formula_difference:g}{foreign}",
        )
    if content.heavy_difference > settings.formula_tolerance:
        warnings.add("formula_mismatch")
        return
    if content.difference > settings.formula_tolerance:
        warnings.add("hydrogens_missing" if content.lacks_hydrogen else "formula_mismatch")
    if z is not None and contradicts_z(content, formula, z, settings):
        _refuse_lost_operators(amounts, atoms.volume_A3, content.units, z)
        warnings.add("z_contradiction")


def _refuse_lost_operators(amounts: dict[str, float], volume_A3: float, units: float, z: float) -> None:
    """Refuse a cell with a fraction of Z formula units in the volume of Z."""
    fraction = z / units
    if fraction < 1.5 or abs(fraction - round(fraction)) > 0.02:
        return
    ratio = volume_ratio(amounts, volume_A3)
    if ratio > MOST_SPACIOUS and ratio / fraction > SMALLEST_VOLUME:
        raise Refused(
            "operators_missing",
            f"the cell holds {units:g} formula units, the CIF states Z = {z:g}, and its volume is {ratio:.1f} times "
            "that of the atoms",
        )


def _check_plausible(expansion: Expansion, settings: CurationSettings, row: dict[str, Any], warnings: set[str]) -> None:
    """Warn about, or refuse, implausible contacts and volumes."""
    atoms, contact = expansion.atoms, expansion.contact
    row["volume_ratio"] = volume_ratio(atoms.amounts(), atoms.volume_A3)
    found = []
    if contact is not None:
        row |= {"contact": str(contact), "contact_ratio": contact.ratio}
        if contact.ratio < SHORTEST_CONTACT:
            found.append(("contact_too_short", f"{contact}, {contact.ratio:.2f} of the sum of their covalent radii"))
    if not SMALLEST_VOLUME <= row["volume_ratio"] <= LARGEST_VOLUME:
        found.append(("volume_implausible", f"{row['volume_ratio']:.2f} times the usual volume of these atoms"))
    for code, detail in found:
        if settings.implausible == "refuse":
            raise Refused(code, detail)
        warnings.add(code)


def _z(block: Block) -> float | None:
    text = text_of(block, "_cell_formula_units_Z")
    number = float(gemmi.cif.as_number(text)) if text else math.nan
    return number if number > 0 else None
