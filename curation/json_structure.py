"""A structure as a JSON object: pymatgen's Structure, OPTIMADE's attributes, or a row of ASE's database."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from catalogs.ase_row import plain_of
from curation.atoms import Array
from curation.composition import SYMBOLS
from curation.listed_atoms import ListedAtoms
from curation.reasons import Refused

_VACANCY, _UNKNOWN = "vacancy", "X"
"""OPTIMADE's symbols for no atom and for an unknown one."""
_INCOMPLETE = {"implicit_atoms", "unknown_positions", "assemblies"}
"""OPTIMADE's features of structures whose atoms are not all listed, or not all present at once."""


def parse_json(text: str, warnings: set[str]) -> ListedAtoms:
    """Return the cell and atoms."""
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise Refused("bad_format", f"expected a JSON object, found {text.strip()[:40]!r}")
        if "sites" in content:
            return _pymatgen(content, warnings)
        if "lattice_vectors" in content:
            return _optimade(content, warnings)
        return _ase(content, warnings)
    except (ValueError, RecursionError) as error:
        raise Refused("bad_format", f"{type(error).__name__}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise Refused("bad_format", f"a structure's value is missing or of another type ({error!r})") from error


def _pymatgen(content: dict[str, Any], warnings: set[str]) -> ListedAtoms:
    """pymatgen's Structure.as_dict: sites with several species share a position."""
    lattice = _array(content["lattice"]["matrix"], "lattice.matrix")
    if not all(content["lattice"].get("pbc", (True,) * 3)):
        raise Refused("not_periodic", f"lattice.pbc is {content['lattice']['pbc']}")
    atoms = _Builder()
    for number, site in enumerate(content["sites"], start=1):
        label = str(site.get("label", ""))
        for species in site["species"]:
            name = str(species["element"]) + _charge(species.get("oxidation_state"), warnings)
            atoms.add(name, float(species.get("occu", 1.0)), site["abc"], label, f"site {number}")
            _remark("magnetic", [species.get("spin"), (species.get("properties") or {}).get("spin")], warnings)
        beside = site.get("properties") or {}
        _remark("magnetic", beside.get("magmom"), warnings)
        _remark("charges_ignored", beside.get("charge"), warnings)
        if not all(beside.get("selective_dynamics") or ()):
            warnings.add("constraints_ignored")
    _remark("charges_ignored", content.get("charge"), warnings)
    return atoms.listed(lattice, is_cartesian=False)


def _optimade(content: dict[str, Any], warnings: set[str]) -> ListedAtoms:
    """OPTIMADE 1.2, entry type structures; without `species`, names are elements."""
    lattice = _array(content["lattice_vectors"], "lattice_vectors")
    dimensions = content.get("dimension_types")
    if dimensions is not None and list(dimensions) != [1, 1, 1]:
        raise Refused("not_periodic", f"dimension_types is {dimensions}")
    if features := sorted(_INCOMPLETE & set(content.get("structure_features") or ())):
        raise Refused("incomplete", f"structure_features names {', '.join(features)}")
    species = {str(one["name"]): one for one in content.get("species") or ()}
    names, positions = content["species_at_sites"], content["cartesian_site_positions"]
    if len(names) != len(positions):
        raise Refused("bad_format", f"{len(names)} species_at_sites for {len(positions)} cartesian_site_positions")
    atoms = _Builder()
    for number, (name, position) in enumerate(zip(names, positions, strict=True), start=1):
        here = species.get(str(name), {"chemical_symbols": [str(name)], "concentration": [1.0]})
        if here.get("attached"):
            warnings.add("hydrogens_missing")
        for symbol, share in zip(here["chemical_symbols"], here["concentration"], strict=True):
            if symbol == _UNKNOWN:
                raise Refused("dummy_site", f"site {number} is occupied by an unknown element")
            if symbol != _VACANCY:
                atoms.add(str(symbol), float(share), position, str(name), f"site {number}")
    return atoms.listed(lattice, is_cartesian=True)


def _ase(content: dict[str, Any], warnings: set[str]) -> ListedAtoms:
    """A row of ASE's JSON database; arrays are lists, or wrapped as `__ndarray__`."""
    lattice = _array(plain_of(content["cell"]), "cell")
    periodic = plain_of(content.get("pbc", True))
    if periodic is not True and (periodic is False or not all(periodic)):
        raise Refused("not_periodic", f"pbc is {periodic}")
    numbers, positions = plain_of(content["numbers"]), plain_of(content["positions"])
    if len(numbers) != len(positions):
        raise Refused("bad_format", f"{len(numbers)} numbers for {len(positions)} positions")
    atoms = _Builder()
    for at, (number, position) in enumerate(zip(numbers, positions, strict=True), start=1):
        if number != int(number):
            raise Refused("bad_format", f"atom {at} has the atomic number {number}")
        if not 1 <= int(number) <= len(SYMBOLS):
            raise Refused("dummy_site", f"atom {at} has the atomic number {number}")
        atoms.add(SYMBOLS[int(number) - 1], 1.0, position, "", f"atom {at}")
    _remark("magnetic", [plain_of(content.get(name)) for name in ("magmoms", "initial_magmoms")], warnings)
    _remark("charges_ignored", [plain_of(content.get(name)) for name in ("charges", "initial_charges")], warnings)
    if content.get("constraints"):
        warnings.add("constraints_ignored")
    return atoms.listed(lattice, is_cartesian=True)


class _Builder:
    """Sites, collected one by one."""

    def __init__(self) -> None:
        self.symbols: list[str] = []
        self.occupancy: list[float] = []
        self.labels: list[str] = []
        self.xyz: list[list[float]] = []

    def add(self, symbol: str, occupancy: float, xyz: Any, label: str, where: str) -> None:
        """Add a site."""
        point = [float(value) for value in xyz]
        if len(point) != 3:
            raise Refused("bad_coordinates", f"{where}: {len(point)} coordinates")
        self.symbols.append(symbol)
        self.occupancy.append(occupancy)
        self.labels.append(label)
        self.xyz.append(point)

    def listed(self, lattice: Array, *, is_cartesian: bool) -> ListedAtoms:
        """Return them with their cell."""
        xyz = np.array(self.xyz).reshape(-1, 3)
        places = {"cartesian_A": xyz} if is_cartesian else {"fractional": xyz}
        return ListedAtoms(lattice, tuple(self.symbols), np.array(self.occupancy), tuple(self.labels), **places)


def _array(value: Any, name: str) -> Array:
    found = np.asarray(value, dtype=np.float64)
    if found.shape != (3, 3):
        raise Refused("bad_cell", f"{name}: expected three vectors of three numbers")
    return found


def _charge(state: Any, warnings: set[str]) -> str:
    """Return an oxidation state as the ending of a species; a fraction has no form factor of its own."""
    if not state:
        return ""
    whole = round(float(state))
    if abs(float(state) - whole) > 1e-6:
        warnings.add("charges_ignored")
        return ""
    if whole == 0:
        return ""
    return ("" if abs(whole) == 1 else str(abs(whole))) + ("+" if whole > 0 else "-")


def _remark(code: str, values: Any, warnings: set[str]) -> None:
    """Add a warning if any of the numbers, however nested, is not 0."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):  # pymatgen's Magmom
            waiting += [value.get("moment"), value.get("array")]
        elif isinstance(value, int | float) and value != 0:
            warnings.add(code)
            return
