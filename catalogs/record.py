"""Records of catalogs: a crystal structure as found, with provenance and licence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Defect:
    """Reason for which an input yields no CIF text: a code of `catalogs.defects` and the facts."""

    reason: str
    detail: str


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
    """A data block of a CIF, or the defect for which it could not be read (`cif` is then empty)."""

    source: str
    """The catalog's name in the configuration."""
    source_id: str
    """Unique within the source: the file's path inside the catalog, `#block` appended where a file has several."""
    cif: str
    origin: str
    """Location for users: file, archive and entry, or material id."""
    licence: str
    density: DensityRef | None = None
    source_metadata: dict[str, str] = field(default_factory=dict)
    """Source metadata beside the CIF: material id, collection code, formula, other columns."""
    defect: Defect | None = None
