"""Structures that list every atom of their cell: POSCAR, extended XYZ, and JSON of pymatgen, OPTIMADE and ASE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catalogs.record import Format
from curation.atoms import Array, cell_matrix, cell_parameters
from curation.cell import check_cell
from curation.expand import Expansion, Sites, expand
from curation.extxyz import parse_extxyz
from curation.json_structure import parse_json
from curation.listed_atoms import ListedAtoms
from curation.operators import from_setting
from curation.poscar import parse_poscar
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.species import has_form_factor, species_of_symbol

PARSERS: dict[Format, Callable[[str, set[str]], ListedAtoms]] = {
    "poscar": parse_poscar,
    "extxyz": parse_extxyz,
    "json": parse_json,
}
"""Function from text and warnings to the atoms listed; it raises `Refused` for a text that is not in its format."""
RESOLUTION = 1e-8
"""Of coordinates, as a fraction of a cell edge; no site is special in P 1."""


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Sites that are atoms, by their place in the list."""

    rows: list[int]
    species: list[str]


def read_listed(text: str, kind: Format, settings: CurationSettings, warnings: set[str]) -> Expansion:
    """Return the whole cell; raise `Refused` if it is no crystal."""
    with np.errstate(over="ignore", invalid="ignore"):  # a result that is not finite is refused
        listed = PARSERS[kind](text, warnings)
        lattice, fractional = _standard(listed)
    chosen = _chosen(listed, warnings)
    rows = chosen.rows
    sites = Sites(
        tuple(listed.labels[i] or f"site {i + 1}" for i in rows),
        tuple(chosen.species),
        listed.occupancy[rows],
        np.full(len(rows), settings.u_iso_A2),
        fractional[rows],
        np.full(len(rows), RESOLUTION),
        np.zeros(len(rows), dtype=np.int64),
    )
    if settings.displacement == "cif":
        warnings.add("displacement_assumed")
    return expand(lattice, sites, from_setting("P 1"), settings, warnings)


def _standard(listed: ListedAtoms) -> tuple[Array, Array]:
    """Return the cell with a along x and b in the xy plane, as that of a CIF, and fractional coordinates.

    A left-handed cell is inverted with its coordinates, which moves no atom.
    """
    vectors = listed.lattice_A
    if vectors.shape != (3, 3) or not np.isfinite(vectors).all():
        raise Refused("bad_cell", f"expected three cell vectors of three numbers, found {vectors.tolist()}")
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.min() > 0.0:
        raise Refused("bad_cell", f"a cell vector has no length: {vectors.tolist()}")
    parameters = cell_parameters(vectors)
    check_cell(parameters)
    # Another orientation in space leaves fractional coordinates as they are.
    fractional = listed.fractional if listed.fractional is not None else _fractional(listed, vectors)
    if not np.isfinite(fractional).all() or np.abs(fractional).max(initial=0.0) >= 1e4:
        raise Refused("bad_coordinates", "a coordinate is not a number, or 10,000 cells away")
    sign = -1.0 if np.linalg.det(vectors) < 0 else 1.0
    return cell_matrix(*parameters), sign * fractional


def _fractional(listed: ListedAtoms, vectors: Array) -> Array:
    assert listed.cartesian_A is not None
    found: Array = np.asarray(listed.cartesian_A @ np.linalg.inv(vectors), dtype=np.float64)
    return found


def _chosen(listed: ListedAtoms, warnings: set[str]) -> _Chosen:
    """Return the sites that are occupied, with their species."""
    found = _Chosen([], [])
    if not listed.symbols:
        raise Refused("no_atoms", "no atom is listed")
    for i, (symbol, occupancy) in enumerate(zip(listed.symbols, listed.occupancy.tolist(), strict=True)):
        if not occupancy >= 0.0:
            raise Refused("bad_occupancy", f"site {i + 1} has an occupancy of {occupancy}")
        if occupancy == 0.0:
            warnings.add("empty_sites_skipped")
            continue
        species = species_of_symbol(symbol)
        if not has_form_factor(species):
            raise Refused("no_form_factor", f"{species} (site {i + 1}) has no X-ray form factor")
        found.rows.append(i)
        found.species.append(species)
    if not found.rows:
        raise Refused("no_atoms", f"none of the {len(listed.symbols)} sites listed is occupied")
    return found
