"""Structures of a path given on the command line, each with the verdict of curation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catalogs.open import guess_catalog, open_catalog
from catalogs.record import Record
from curation.crystal import Crystal
from curation.curate import curate_record
from curation.read import read_structure
from curation.reasons import Refused
from curation.settings import CurationSettings


@dataclass(frozen=True, eq=False)
class Subject:
    """One structure; `remark` is the reason for which curation refuses it, or for which there is no crystal."""

    name: str
    crystal: Crystal | None
    formula: str = ""
    space_group: int | None = None
    remark: str = ""


def subjects(path: Path) -> Iterator[Subject]:
    """Yield every structure of a CIF, folder, archive or table, in the catalog's order."""
    settings = CurationSettings.model_validate({})
    for record in open_catalog(guess_catalog(path)):
        yield subject_of(record, settings)


def subject_of(record: Record, settings: CurationSettings) -> Subject:
    """Return the crystal that a run would simulate or, if curation refuses it, the atoms as listed."""
    verdict = curate_record(record, settings)
    formula, group = verdict.formula or "", verdict.space_group
    if verdict.accepted:
        return Subject(record.source_id, verdict.crystal, formula, group)
    remark = f"{verdict.reason} ({verdict.detail})" if verdict.detail else verdict.reason
    crystal = None if record.defect is not None else _as_read(record, settings)
    return Subject(record.source_id, crystal, formula, group, remark)


def _as_read(record: Record, settings: CurationSettings) -> Crystal | None:
    try:
        atoms = read_structure(record.text, record.format, settings, {}).atoms
    except Refused:
        return None
    listed = [
        (*occupant, xyz)
        for kind, xyz in zip(atoms.kind, atoms.fractional, strict=True)
        for occupant in atoms.occupants[kind]
    ]
    species, occupancy, u_iso, xyz = zip(*listed, strict=True)
    return Crystal.canonical(atoms.lattice_A, species, np.array(occupancy), np.array(xyz), np.array(u_iso))
