"""The sites that a CIF block lists: species, occupancies, coordinates and displacements."""

from __future__ import annotations

import math
import re

import gemmi
import numpy as np

from curation.atoms import Array
from curation.cartesian import Frame, cartesian_frame
from curation.cif_block import Block
from curation.expand import Sites
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.species import has_form_factor, species_of

_SITE_TAGS = (
    "?label",
    "?label_atom_id",
    "?type_symbol",
    "?pdbx_formal_charge",
    "?occupancy",
    "?calc_flag",
    "?calc_flags",
    "?U_iso_or_equiv",
    "?B_iso_or_equiv",
    "?site_symmetry_multiplicity",
    "?symmetry_multiplicity",
    "?attached_hydrogens",
)
_FRACTIONAL = ("fract_x", "fract_y", "fract_z")
_CARTESIAN = ("Cartn_x", "Cartn_y", "Cartn_z")
_INTEGER = re.compile(r"[+-]?\d{1,2}")
_DECIMALS = re.compile(r"^[^.]*\.?|[^0-9].*$")
"""All of a number but its decimals."""


def read_sites(
    block: Block,
    lattice: Array,
    formula: frozenset[str],
    settings: CurationSettings,
    warnings: set[str],
    *,
    long_labels: bool,
) -> Sites:
    """Return the sites; raise `Refused` if one of them cannot be used."""
    axes, frame = _FRACTIONAL, None
    table = block.find("_atom_site_", [*axes, *_SITE_TAGS])
    if not len(table):
        axes, frame = _CARTESIAN, cartesian_frame(block, lattice)
        table = block.find("_atom_site_", [*axes, *_SITE_TAGS])
    if not len(table):
        raise Refused("no_atoms", "no site has _atom_site_fract_x, _y and _z")
    columns = {
        name.lstrip("?"): [table.column(i).str(k) for k in range(len(table))]
        for i, name in enumerate((*axes, *_SITE_TAGS))
        if not name.startswith("?") or table.has_column(i)
    }
    n = len(table)
    blank = [""] * n
    labels = columns.get("label") or columns.get("label_atom_id") or blank
    types = _types(columns, n)
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
        texts = [columns[axis][i] for axis in axes]
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
        *_places(np.array(xyz), [[columns[axis][i] for axis in axes] for i in rows], frame, lattice),
        np.array([int(stated[i]) if stated[i].isdecimal() and len(stated[i]) <= 9 else 0 for i in rows]),
    )


def _types(columns: dict[str, list[str]], n: int) -> list[str]:
    """Return the type symbols, with mmCIF's formal charges where they state none."""
    types = columns.get("type_symbol", [""] * n)
    charges = columns.get("pdbx_formal_charge", [""] * n)
    return [
        f"{symbol}{abs(int(charge))}{'-' if int(charge) < 0 else '+'}"
        if _INTEGER.fullmatch(charge) and symbol.isalpha()
        else symbol
        for symbol, charge in zip(types, charges, strict=True)
    ]


def _places(xyz: Array, texts: list[list[str]], frame: Frame | None, lattice: Array) -> tuple[Array, Array]:
    """Return fractional coordinates and their last printed digit, as a fraction of a cell edge."""
    if frame is None:
        return xyz, _resolution(texts)
    edges = np.linalg.norm(lattice, axis=1)
    return frame.fractional(xyz), (_resolution(texts) / edges.min()).clip(1e-8, 1e-2)


def _resolution(texts: list[list[str]]) -> Array:
    """Return the last printed digit of each site's coordinates; for trimmed zeros, that of the other sites."""
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
    """Return the isotropic displacement of a site by the configured policy, A^2."""
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
    """Return U_eq = 1/3 sum_ij U_ij a*_i a*_j a_i.a_j of every label with anisotropic displacements, A^2."""
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
