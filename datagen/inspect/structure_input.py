"""One structure from a path, CIF text, a pymatgen Structure or ASE Atoms."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from catalogs.open import guess_catalog, open_catalog
from catalogs.reading import Place
from catalogs.record import Record
from datagen.errors import DatagenError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

EXPECTED = "a path, the text of a CIF, a pymatgen Structure or ASE Atoms"
NAMED = 3


class AseAtoms(Protocol):
    """The part of ASE's Atoms that is used."""

    cell: Any
    pbc: Any
    info: dict[str, Any]

    def get_chemical_symbols(self) -> list[str]:
        """Return the element of each atom."""

    def get_scaled_positions(self, wrap: bool = True) -> Any:
        """Return fractional coordinates."""


def record_of(what: Structure | AseAtoms | str | os.PathLike[str]) -> Record:
    """Return the one structure that `what` describes, as a record that curation reads."""
    records = list(islice(_records(what), NAMED + 1))
    if len(records) == 1:
        return records[0]
    found = ", ".join(record.source_id for record in records[:NAMED]) + (", ..." if len(records) > NAMED else "")
    raise DatagenError(
        f"{_name(what)}: expected one structure, found {f'several ({found})' if records else 'none'}; "
        "`datagen.run` and `datagen curate` take folders, archives and tables"
    )


def _records(what: Any) -> Iterator[Record]:
    if isinstance(what, str) and _is_cif_text(what):
        return Place("input", "CIF text", "CIF text", "unknown").records_of_text(what)
    if isinstance(what, str | os.PathLike):
        return iter(open_catalog(guess_catalog(Path(what))))
    return Place("input", _name(what), _name(what), "unknown", format="json").records_of_text(_json_of(what))


def _is_cif_text(text: str) -> bool:
    return "\n" in text or text.lstrip().lower().startswith("data_")


def _json_of(what: Any) -> str:
    """Return pymatgen's JSON of a structure; curation finds the symmetry itself."""
    if _is_a(what, "ase", "Atoms"):
        what = _structure_of(what)
    if not _is_a(what, "pymatgen.core.structure", "IStructure"):
        raise DatagenError(f"expected {EXPECTED}, found {type(what).__module__}.{type(what).__qualname__}")
    return json.dumps(what.as_dict(), default=str)


def _structure_of(atoms: AseAtoms) -> Structure:
    """Return ASE Atoms as a pymatgen Structure."""
    from pymatgen.core.structure import Structure

    if not all(atoms.pbc) or abs(atoms.cell.volume) < 1e-9:
        raise DatagenError(f"{_name(atoms)}: expected a crystal, periodic in three directions; found pbc {atoms.pbc}")
    if "occupancy" in atoms.info:
        raise DatagenError(
            f"{_name(atoms)}: partial occupancies (info['occupancy']) are not read from ASE; pass a CIF or a pymatgen "
            "Structure"
        )
    return Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False))


def _is_a(what: Any, module: str, name: str) -> bool:
    """Return whether `what` is of this class, without importing its library."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(what, kind)


def _name(what: Any) -> str:
    if isinstance(what, str | os.PathLike):
        return "CIF text" if isinstance(what, str) and _is_cif_text(what) else str(what)
    formula = getattr(what, "formula", None) or getattr(what, "symbols", None)
    return f"{type(what).__name__} {formula}" if formula else type(what).__name__
