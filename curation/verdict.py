"""Result of curation of a record: a flat row, accepted with labels or refused with a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from catalogs.record import DensityRef, Record
from curation.crystal import Crystal
from curation.explain import Explanation, explain
from curation.settings import CurationSettings

Status = Literal["accepted", "refused"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Verdict:
    """A row of the curation table; `None` if a check was not reached."""

    source: str
    source_id: str
    origin: str
    licence: str
    source_metadata: dict[str, str] = field(default_factory=dict)
    text_hash: str | None = None
    """Of the record's text: `Record.text_hash`."""
    density_path: str | None = None
    density_format: str | None = None
    density_member: str | None = None

    status: Status = "refused"
    reason: str = ""
    """Code of `curation.reasons`; empty where accepted."""
    detail: str = ""
    """Facts of the reason: atom, value, expected value."""
    warnings: tuple[str, ...] = ()
    """Codes of `curation.reasons.WARNINGS`, sorted."""

    formula: str | None = None
    """Reduced formula of the conventional cell (of the cell read, if refused), elements by electronegativity."""
    n_atoms: int | None = None
    """Atomic sites in the stored cell, the primitive one; species sharing a site count once."""
    n_atoms_conventional: int | None = None
    n_atoms_read: int | None = None
    """Atomic sites in the cell of the CIF."""
    volume: float | None = None
    """Volume of the stored primitive cell, A^3."""
    volume_conventional: float | None = None
    volume_read: float | None = None
    space_group: int | None = None
    """Number 1..230, if it is the same at every tolerance."""
    crystal_system: int | None = None
    """1 triclinic .. 7 cubic."""
    bravais_lattice: str | None = None
    """Pearson's symbol of the lattice: aP mP mS oP oS oI oF tP tI hP hR cP cI cF."""
    niggli_a: float | None = None
    """Lengths in A, angles in degrees, of the Niggli-reduced primitive cell."""
    niggli_b: float | None = None
    niggli_c: float | None = None
    niggli_alpha: float | None = None
    niggli_beta: float | None = None
    niggli_gamma: float | None = None
    structure_hash: str | None = None
    group: str | None = None
    split: str | None = None

    symprec_A: tuple[float, ...] = ()
    """Site tolerance of each symmetry search, in the order of the settings' `tolerance_pairs`."""
    angle_tolerance_deg: tuple[float, ...] = ()
    space_group_at: tuple[int | None, ...] = ()
    """Space group found at each pair; None if none was found."""
    n_primitive_at: tuple[int | None, ...] = ()
    """Sites in the primitive cell found at each pair."""

    stated_space_group: int | None = None
    """Space group that the CIF states; not used for the labels."""
    stated_formula: str | None = None
    min_distance_A: float | None = None
    max_occupancy: float | None = None
    """Largest occupancy sum of a site, before any scaling."""
    formula_difference: float | None = None
    """Largest difference between an atomic fraction of the atoms listed and of the stated formula."""
    contact: str | None = None
    """Shortest contact relative to covalent radii: elements and distance."""
    contact_ratio: float | None = None
    """Its distance over the sum of the covalent radii."""
    volume_ratio: float | None = None
    """Volume of the cell of the CIF over the usual volume of its atoms."""
    niggli_determinant: float | None = None
    """Determinant of the transformation from the primitive to the reduced cell: +1."""
    niggli_volume_ratio: float | None = None
    niggli_idempotence: float | None = None
    """Largest relative change of a metric entry when the reduced cell is reduced again: 0."""
    lattice_character: int | None = None
    """Best fitting of Niggli's 44 reduced forms, among those of the Bravais lattice."""
    lattice_deviation: float | None = None
    """Largest relative deviation from that form's equalities."""
    n_reflections: int | None = None
    """Distinct d-spacings with intensity in the range."""

    structure: str | None = None
    """The canonical structure, `Crystal.to_json`."""
    seconds: float = 0.0

    @classmethod
    def about(cls, record: Record, **found: Any) -> Verdict:
        """Return a verdict with the record's provenance and the given values."""
        density = record.density
        return cls(
            source=record.source,
            source_id=record.source_id,
            origin=record.origin,
            licence=record.licence,
            source_metadata=dict(record.source_metadata),
            text_hash=record.text_hash,
            density_path=None if density is None else str(density.path),
            density_format=None if density is None else density.format,
            density_member=None if density is None else density.member,
            **found,
        )

    @classmethod
    def refusal(cls, record: Record, reason: str, detail: str, *, seconds: float = 0.0) -> Verdict:
        """Return a refusal from outside the checks: a defect of the source, or a failure of the sandbox."""
        return cls.about(record, status="refused", reason=reason, detail=detail, seconds=seconds)

    def __repr__(self) -> str:
        if not self.accepted:
            return f"<Verdict {self.source_id}: refused, {self.reason}: {self.detail}>"
        return f"<Verdict {self.source_id}: accepted, {self.formula}, space group {self.space_group}, {self.split}>"

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    def explain(self, settings: CurationSettings | None = None) -> Explanation:
        """Return every check with its value, limit and outcome; `settings` are those of the verdict, if not default."""
        return explain(self, settings or CurationSettings.model_validate({}))

    @property
    def accepted(self) -> bool:
        """Whether the structure is simulated."""
        return self.status == "accepted"

    @property
    def density(self) -> DensityRef | None:
        """Location of the record's electron density."""
        if self.density_path is None or self.density_format is None:
            return None
        return DensityRef(Path(self.density_path), self.density_format, self.density_member)

    @cached_property
    def crystal(self) -> Crystal:
        """The canonical structure of an accepted record."""
        if self.structure is None:
            raise ValueError(f"{self.source_id} has no structure: {self.status} ({self.reason})")
        return Crystal.from_json(self.structure)

    @property
    def niggli(self) -> tuple[float, ...] | None:
        """a, b, c in A and alpha, beta, gamma in degrees."""
        values = (self.niggli_a, self.niggli_b, self.niggli_c, self.niggli_alpha, self.niggli_beta, self.niggli_gamma)
        return None if any(v is None for v in values) else tuple(v for v in values if v is not None)

    def to_row(self) -> dict[str, Any]:
        """Return values that JSON stores exactly; `source_metadata` is JSON text, tuples are lists."""
        row = {name: getattr(self, name) for name in COLUMNS}
        row["source_metadata"] = json.dumps(self.source_metadata, sort_keys=True, ensure_ascii=False)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in row.items()}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Verdict:
        """Return the verdict of a row of `to_row`; unknown columns are an error."""
        found: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
        found["source_metadata"] = json.loads(row["source_metadata"])
        return cls(**found)


COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Verdict))
"""The table's columns, in order."""
