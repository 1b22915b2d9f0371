"""What a catalog yields: one crystal structure as found, with where it came from and on what terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Defect:
    """Why an input could not even be handed over as text: a reason code of `curation.reasons` and the facts."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class DensityRef:
    """Where the electron density of a record lies, and in which format."""

    path: Path
    format: str
    """`chgcar`, `cube` or `mp_json`; compression shows in the file's name."""
    member: str | None = None
    """The entry's name where `path` is an archive."""


@dataclass(frozen=True, slots=True)
class Record:
    """One data block of one CIF, or the note that it could not be read (`cif` is then empty)."""

    source: str
    """The catalog's name in the configuration."""
    source_id: str
    """Unique within the source: the file's path inside the catalog, `#block` appended where a file has several."""
    cif: str
    origin: str
    """Where a person would look for it: file, archive and entry, or material id."""
    licence: str
    density: DensityRef | None = None
    claims: dict[str, str] = field(default_factory=dict)
    """What the source says of it beside the CIF: material id, collection code, formula, other columns."""
    defect: Defect | None = None
