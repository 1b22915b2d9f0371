"""From the text of one CIF block to the atoms of its cell, every doubt a warning or a refusal."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from curation.atoms import Array, Atoms, cell_matrix
from curation.cif_block import Block, read_block
from curation.composition import formula_difference, parse_formula
from curation.expand import Expansion, Sites, expand
from curation.operators import Operators, from_setting, read_operators, stated_number
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.species import has_form_factor, species_of

_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_SITE_TAGS = (
    "fract_x",
    "fract_y",
    "fract_z",
    "?label",
    "?type_symbol",
    "?occupancy",
    "?calc_flag",
    "?calc_flags",
    "?U_iso_or_equiv",
    "?B_iso_or_equiv",
    "?site_symmetry_multiplicity",
    "?symmetry_multiplicity",
    "?attached_hydrogens",
)
_SHORTEST_EDGE_A, _LONGEST_EDGE_A = 0.1, 1e5
_DECIMALS = re.compile(r"^[^.]*\.?|[^0-9].*$")
"""All of a number but its decimals."""
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
    formula_text = _string(block, "_chemical_formula_sum")
    formula = parse_formula(formula_text) if formula_text else None
    row |= {"stated_formula": formula_text, "stated_space_group": stated_number(block)}
    lattice = _lattice(block, warnings)
    operators = read_operators(block, warnings)
    expansion, remarks = _best_expansion(block, lattice, operators, formula, settings)
    warnings |= remarks
    row["max_occupancy"] = expansion.max_occupancy
    for tags, code in ((_MODULATED, "modulated"), (_MAGNETIC, "magnetic")):
        if any(len(block.find_values(tag)) for tag in tags):
            warnings.add(code)
    if formula is not None:
        row["formula_difference"] = _compare_formula(expansion.atoms, formula, _z(block), settings, warnings)
        if "formula_mismatch" in warnings and settings.formula_mismatch == "refuse":
            raise Refused(
                "formula_mismatch",
                f"the CIF states {formula_text}; an atomic fraction differs by {row['formula_difference']:.3f}",
            )
    return Reading(expansion.atoms, expansion.min_distance_A)


def _string(block: Block, tag: str) -> str | None:
    value = block.find_value(tag)
    if value is None or value in ("?", "."):
        return None
    return " ".join(str(gemmi.cif.as_string(value)).split()) or None


def _z(block: Block) -> float | None:
    text = _string(block, "_cell_formula_units_Z")
    number = float(gemmi.cif.as_number(text)) if text else math.nan
    return number if number > 0 else None


def _lattice(block: Block, warnings: set[str]) -> Array:
    values: list[float] = []
    for tag in _CELL_TAGS:
        text = block.find_value(f"_cell_{tag}")
        if values[2:] and text in (None, "."):  # the dictionary's default for angles
            text = "90"
        if text is None or text in ("?", "."):
            raise Refused("no_cell", f"_cell_{tag} is not stated")
        values.append(float(gemmi.cif.as_number(text)))
        if not math.isfinite(values[-1]):
            raise Refused("bad_cell", f"_cell_{tag} is {text[:40]!r}, not a number")
    if min(values) <= 0 or max(values[3:]) >= 180:
        raise Refused("bad_cell", f"lengths must be > 0 and angles between 0 and 180 degrees, found {values}")
    if not _SHORTEST_EDGE_A <= min(values[:3]) <= max(values[:3]) <= _LONGEST_EDGE_A:
        raise Refused(
            "bad_cell", f"no crystal has edges of {values[:3]} A; {_SHORTEST_EDGE_A:g} to {_LONGEST_EDGE_A:g} are read"
        )
    lattice = cell_matrix(*values)
    volume = float(np.linalg.det(lattice)) if np.isfinite(lattice).all() else 0.0
    if not volume > 1e-3 * values[0] * values[1] * values[2]:
        raise Refused("bad_cell", f"angles of {values[3:]} degrees enclose no volume")
    stated = _string(block, "_cell_volume")
    if stated and abs(gemmi.cif.as_number(stated) / volume - 1.0) > 0.01:
        warnings.add("volume_contradiction")
    return lattice


def _sites(
    block: Block,
    lattice: Array,
    formula: frozenset[str],
    settings: CurationSettings,
    warnings: set[str],
    *,
    long_labels: bool,
) -> Sites:
    table = block.find("_atom_site_", list(_SITE_TAGS))
    if not len(table):
        if len(block.find_values("_atom_site_Cartn_x")):
            raise Refused("cartesian_only", "coordinates are given as _atom_site_Cartn_x only")
        raise Refused("no_atoms", "no site has _atom_site_fract_x, _y and _z")
    columns = {
        name.lstrip("?"): [table.column(i).str(k) for k in range(len(table))]
        for i, name in enumerate(_SITE_TAGS)
        if not name.startswith("?") or table.has_column(i)
    }
    n = len(table)
    blank = [""] * n
    labels, types = (columns.get(k, blank) for k in ("label", "type_symbol"))
    flags = columns.get("calc_flag") or columns.get("calc_flags") or blank
    anisotropic = _u_equivalent(block, lattice) if settings.displacement == "cif" else {}
    rows: list[int] = []
    species: list[str] = []
    occupancies: list[float] = []
    xyz: list[list[float]] = []
    for i in range(n):
        if flags[i].lower() == "dum":
            warnings.add("dummy_sites_skipped")
            continue
        occupancy = _occupancy(columns["occupancy"][i], labels[i]) if "occupancy" in columns else 1.0
        if occupancy == 0.0:
            warnings.add("empty_sites_skipped")
            continue
        name = species_of(_stated(types[i]), _stated(labels[i]), formula, warnings, long_labels=long_labels)
        if not has_form_factor(name):
            raise Refused("no_form_factor", f"{name} (site {labels[i]}) has no X-ray form factor")
        texts = [columns[f"fract_{axis}"][i] for axis in "xyz"]
        point = [float(gemmi.cif.as_number(t)) for t in texts]
        if not all(math.isfinite(v) and abs(v) < 1e4 for v in point):
            if name in ("H", "D") and all(_stated(t) is None for t in texts):
                warnings.add("hydrogens_missing")
                continue
            raise Refused("bad_coordinates", f"{labels[i] or name}: {' '.join(t or '?' for t in texts)}")
        rows.append(i)
        species.append(name)
        occupancies.append(occupancy)
        xyz.append(point)
    if not rows:
        raise Refused("no_atoms", f"none of the {n} sites listed is an atom")
    if any(_stated(h) not in (None, "0") for h in columns.get("attached_hydrogens", blank)):
        warnings.add("hydrogens_missing")
    stated = columns.get("site_symmetry_multiplicity") or columns.get("symmetry_multiplicity") or blank
    return Sites(
        tuple(labels[i] or f"site {i + 1}" for i in rows),
        tuple(species),
        np.array(occupancies),
        np.array([_u_iso(columns, labels[i], i, anisotropic, settings, warnings) for i in rows]),
        np.array(xyz),
        _resolution([[columns[f"fract_{axis}"][i] for axis in "xyz"] for i in rows]),
        np.array([int(stated[i]) if stated[i].isdigit() else 0 for i in rows]),
    )


def _resolution(texts: list[list[str]]) -> Array:
    """Last printed digit of each site's coordinates; where zeros were trimmed, what the other sites show counts."""
    decimals = np.array([max(len(_DECIMALS.sub("", t)) for t in site) for site in texts])
    usual = int(decimals.max())
    found: Array = 10.0 ** -np.where(decimals < 3, usual, decimals).clip(2, 8).astype(np.float64)
    return found


def _stated(value: str) -> str | None:
    return None if value in ("", "?", ".") else value.strip()


def _occupancy(text: str, label: str) -> float:
    if _stated(text) is None:
        return 1.0
    value = float(gemmi.cif.as_number(text))
    if not value >= 0.0:
        raise Refused("bad_occupancy", f"{label} has an occupancy of {text!r}")
    return value


def _u_iso(
    columns: dict[str, list[str]],
    label: str,
    row: int,
    anisotropic: dict[str, float],
    settings: CurationSettings,
    warnings: set[str],
) -> float:
    """Isotropic displacement of one site by the policy of the settings, A^2."""
    if settings.displacement == "fixed":
        return settings.u_iso_A2
    value = math.nan
    for name, factor in (("U_iso_or_equiv", 1.0), ("B_iso_or_equiv", 1.0 / (8.0 * math.pi**2))):
        if not math.isfinite(value) and name in columns:
            value = float(gemmi.cif.as_number(columns[name][row])) * factor
    if not math.isfinite(value):
        value = anisotropic.get(label, math.nan)
    if not 0.0 <= value <= 1.0:
        warnings.add("displacement_assumed")
        return settings.u_iso_A2
    return value


def _u_equivalent(block: Block, lattice: Array) -> dict[str, float]:
    """U_eq = 1/3 sum_ij U_ij a*_i a*_j a_i.a_j of every label in the loop of anisotropic displacements, A^2."""
    g = lattice @ lattice.T
    star = np.sqrt(np.diag(np.linalg.inv(g)))
    weight = np.outer(star, star) * g / 3.0
    found: dict[str, float] = {}
    for kind, factor in (("B", 1.0 / (8.0 * math.pi**2)), ("U", 1.0)):
        names = ["label", *(f"{kind}_{ij}" for ij in ("11", "22", "33", "12", "13", "23"))]
        for row in block.find("_atom_site_aniso_", names):
            u = [float(gemmi.cif.as_number(row[i])) * factor for i in range(1, 7)]
            tensor = np.array([[u[0], u[3], u[4]], [u[3], u[1], u[5]], [u[4], u[5], u[2]]])
            found[row.str(0)] = float(np.sum(tensor * weight))
    return found


def _best_expansion(
    block: Block,
    lattice: Array,
    operators: Operators | None,
    formula: dict[str, float] | None,
    settings: CurationSettings,
) -> tuple[Expansion, set[str]]:
    """The whole cell; where labels can be read as two elements, the reading that comes closer to the formula."""
    found: list[tuple[float, Expansion, set[str]]] = []
    for long_labels in (True, False):
        remarks: set[str] = set()
        sites = _sites(block, lattice, frozenset(formula or ()), settings, remarks, long_labels=long_labels)
        expansion = _expansion(lattice, sites, operators, formula, _z(block), settings, remarks)
        difference = formula_difference(expansion.atoms.amounts(), formula)[0] if formula else 0.0
        found.append((difference, expansion, remarks))
        if "element_guessed" not in remarks or not formula:
            break
    _, expansion, remarks = min(found, key=lambda one: one[0])
    return expansion, remarks


def _expansion(
    lattice: Array,
    sites: Sites,
    operators: Operators | None,
    formula: dict[str, float] | None,
    z: float | None,
    settings: CurationSettings,
    warnings: set[str],
) -> Expansion:
    """The whole cell; where the CIF leaves the setting open, the one whose content agrees with formula and Z."""
    if operators is None:
        expansion = expand(lattice, sites, from_setting("P 1"), settings, warnings)
        if formula is None or z is None or not _content_agrees(expansion.atoms, formula, z, settings):
            raise Refused("no_symmetry", "neither operators nor a known space group, and P1 does not give formula x Z")
        warnings.add("symmetry_missing")
        return expansion
    if not operators.origins:
        return expand(lattice, sites, operators, settings, warnings)
    warnings.add("origin_assumed")
    refusals = []
    for candidate in (operators, *map(from_setting, operators.origins)):
        remarks: set[str] = set()
        try:
            expansion = expand(lattice, sites, candidate, settings, remarks)
        except Refused as refused:
            refusals.append(refused)
            continue
        if formula is None or z is None or _content_agrees(expansion.atoms, formula, z, settings):
            warnings |= remarks
            return expansion
    if refusals:
        raise refusals[0]
    return expand(lattice, sites, operators, settings, warnings)


def _content_agrees(atoms: Atoms, formula: dict[str, float], z: float, settings: CurationSettings) -> bool:
    difference, units = formula_difference(atoms.amounts(), formula)
    return difference <= settings.formula_tolerance and abs(units / z - 1.0) < settings.formula_tolerance


def _compare_formula(
    atoms: Atoms, formula: dict[str, float], z: float | None, settings: CurationSettings, warnings: set[str]
) -> float:
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
