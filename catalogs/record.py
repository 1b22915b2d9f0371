"""Records of catalogs: a crystal structure as found, with provenance and licence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Format = Literal["cif", "poscar", "extxyz", "json"]
"""`json` is a structure of pymatgen, OPTIMADE or ASE as a JSON object, told apart by its keys."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Reason for which an input yields no structure's text: a code of `catalogs.defects` and the facts."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One structure of a file or database: its text, and what is said beside it."""

    text: str
    format: Format
    name: str = ""
    """Its id in the file; empty if it has none."""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DensityRef:
    """Location and format of the electron density of a record."""

    path: Path
    format: str
    """`chgcar`, `cube` or `mp_json`; compression shows in the file's name."""
    member: str | None = None
    """Name of the entry if `path` is an archive."""


@dataclass(frozen=True, slots=True)
class Record:
    """One structure as text, or the defect for which it could not be read (`text` is then empty)."""

    source: str
    """The catalog's name in the configuration."""
    source_id: str
    """Unique within the source: the file's path inside the catalog, with `#name` or `#number` if it holds several."""
    text: str
    """As found: a data block of a CIF, a POSCAR, a frame of an extended XYZ, or a JSON object."""
    origin: str
    """Location for users: file, archive and entry, or material id."""
    licence: str
    density: DensityRef | None = None
    source_metadata: dict[str, str] = field(default_factory=dict)
    """Source metadata beside the structure: material id, collection code, formula, other columns."""
    defect: Defect | None = None
    format: Format = "cif"

    @property
    def text_hash(self) -> str:
        """Return the first 16 digits of the SHA-256 of the text, by which a changed record is noticed."""
        return hashlib.sha256(self.text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
