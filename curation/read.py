"""From the text of one CIF block to the atoms of its cell, every doubt a warning or a refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numpy as np

from curation.atoms import Atoms, Occupant, cell_matrix
from curation.reasons import Refused
from curation.settings import CurationSettings

_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_OPERATOR_TAGS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv.pos_as_xyz",
)
_HM_TAGS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_ref")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")


@dataclass(frozen=True, eq=False)
class Reading:
    """What a CIF block says."""

    atoms: Atoms
    warnings: tuple[str, ...]
    stated_space_group: int | None
    stated_formula: str | None


def read_cif(text: str, settings: CurationSettings) -> Reading:
    """Atoms of the whole cell; raises `Refused` where the block holds no structure that can be trusted."""
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError, UnicodeError) as error:
        raise Refused("bad_syntax", " ".join(str(error).split())[:300]) from error
    if len(document) == 0:
        raise Refused("no_data_block", "the text has no data_ block")
    block = next((b for b in document if b.find_loop("_atom_site_fract_x")), document[0])
    warnings: set[str] = set()
    lattice = _lattice(block)
    sites = _sites(block, settings, warnings)
    rotations, translations = _operators(block)
    atoms = _expand(lattice, sites, rotations, translations, settings)
    number = _first(block, _NUMBER_TAGS)
    formula = _first(block, ("_chemical_formula_sum",))
    return Reading(atoms, tuple(sorted(warnings)), int(number) if number and number.isdigit() else None, formula)


def _first(block: gemmi.cif.Block, tags: tuple[str, ...]) -> str | None:
    for tag in tags:
        value = block.find_value(tag)
        if value is not None and value not in ("?", "."):
            return str(gemmi.cif.as_string(value)).strip()
    return None


def _lattice(block: gemmi.cif.Block) -> np.ndarray:
    values = []
    for tag in _CELL_TAGS:
        text = block.find_value(f"_cell_{tag}")
        if text is None:
            if block.find_value(f"_cell.{tag}") is not None:
                raise Refused("mmcif", f"_cell.{tag} is the mmCIF dictionary's")
            raise Refused("no_cell", f"_cell_{tag} is missing")
        values.append(gemmi.cif.as_number(text))
    if not all(math.isfinite(v) for v in values):
        raise Refused("bad_cell", f"lengths and angles must be numbers, found {values}")
    if min(values) <= 0 or max(values[3:]) >= 180:
        raise Refused("bad_cell", f"lengths must be > 0 and angles between 0 and 180, found {values}")
    lattice = cell_matrix(*values)
    if not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-3 * values[0] * values[1] * values[2]:
        raise Refused("bad_cell", f"angles {values[3:]} enclose no volume")
    return lattice


def _sites(
    block: gemmi.cif.Block, settings: CurationSettings, warnings: set[str]
) -> list[tuple[str, float, float, np.ndarray]]:
    table = block.find(
        "_atom_site_",
        ["fract_x", "fract_y", "fract_z", "?type_symbol", "?label", "?occupancy"],
    )
    if not len(table):
        raise Refused("no_atoms", "no _atom_site_fract_x")
    found = []
    for row in table:
        xyz = np.array([gemmi.cif.as_number(row[i]) for i in range(3)])
        name = row.str(3) if row.has(3) else row.str(4)
        if not np.isfinite(xyz).all():
            raise Refused("bad_coordinates", f"{name}: {row[0]} {row[1]} {row[2]}")
        occupancy = gemmi.cif.as_number(row[5], 1.0) if row.has(5) else 1.0
        found.append((_species(name), occupancy, settings.u_iso_A2, xyz))
    return found


def _species(name: str) -> str:
    letters = "".join(c for c in name[:2] if c.isalpha())
    for size in (2, 1):
        element = gemmi.Element(letters[:size])
        if element.atomic_number > 0 and len(letters) >= size:
            return str(element.name)
    raise Refused("unknown_element", f"{name} is no element")


def _operators(block: gemmi.cif.Block) -> tuple[np.ndarray, np.ndarray]:
    for tag in _OPERATOR_TAGS:
        column = block.find_values(tag)
        if len(column):
            try:
                ops = [gemmi.Op(column.str(i)) for i in range(len(column))]
            except (ValueError, RuntimeError) as error:
                raise Refused("bad_symmetry", str(error)) from error
            break
    else:
        group = None
        for tags in (_HALL_TAGS, _HM_TAGS, _NUMBER_TAGS):
            text = _first(block, tags)
            if text:
                group = gemmi.find_spacegroup_by_name(text)
            if group is not None:
                break
        if group is None:
            raise Refused("no_symmetry", "neither operators nor a known space group")
        ops = list(group.operations())
    rotations = np.array([op.rot for op in ops], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([op.tran for op in ops], dtype=np.float64) / gemmi.Op.DEN
    return rotations, translations


def _expand(
    lattice: np.ndarray,
    sites: list[tuple[str, float, float, np.ndarray]],
    rotations: np.ndarray,
    translations: np.ndarray,
    settings: CurationSettings,
) -> Atoms:
    positions: list[np.ndarray] = []
    held: list[list[Occupant]] = []
    for species, occupancy, u_iso, xyz in sites:
        images = (rotations @ xyz + translations) % 1.0
        kept: list[np.ndarray] = []
        for image in images:
            if not any(_near(image, k, lattice, settings.merge_distance_A) for k in kept):
                kept.append(image)
        for image in kept:
            for j, other in enumerate(positions):
                if _near(image, other, lattice, 1e-3):
                    held[j].append((species, occupancy, u_iso))
                    break
            else:
                positions.append(image)
                held.append([(species, occupancy, u_iso)])
    kinds: dict[tuple[Occupant, ...], int] = {}
    kind = [kinds.setdefault(tuple(sorted(h)), len(kinds)) for h in held]
    return Atoms(lattice, np.array(positions), np.array(kind, dtype=np.intc), tuple(kinds))


def _near(p: np.ndarray, q: np.ndarray, lattice: np.ndarray, distance: float) -> bool:
    d = p - q
    return float(np.linalg.norm((d - np.round(d)) @ lattice)) < distance
