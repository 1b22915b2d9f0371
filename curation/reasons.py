"""Why a structure is refused or remarked upon: each code with its stage, its meaning and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from catalogs.defects import DEFECTS

Stage = Literal["source", "sandbox", "parse", "symmetry", "lattice", "size", "pattern"]


@dataclass(frozen=True, slots=True)
class Reason:
    """A refusal's code and what stands behind it."""

    code: str
    stage: Stage
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Warning:  # noqa: A001 - the field's word; Python's own class has no business in this module
    """A remark on a structure that is not refused for it."""

    code: str
    meaning: str
    remedy: str


_REASONS = (
    # The input could not be handed over as text: the catalogs' own vocabulary.
    *(Reason(code, "source", defect.meaning, defect.remedy) for code, defect in DEFECTS.items()),
    # The child process that worked on the record did not come back with a verdict.
    Reason("timeout", "sandbox", "The record used up its time.", "Raise the time limit, or leave the structure out."),
    Reason("crashed", "sandbox", "The process died while working on the record.", "Report it with the CIF."),
    Reason(
        "out_of_memory", "sandbox", "The record needed more memory than the limit.", "Raise the limit if it is meant."
    ),
    Reason("internal_error", "sandbox", "Our own code failed on the record.", "Report it with the CIF."),
    # Screen 1: a structure can be read.
    Reason("bad_syntax", "parse", "The text breaks the CIF grammar.", "Mend the line that the detail names."),
    Reason("mmcif", "parse", "The file is macromolecular (mmCIF), which this is not for.", "Leave it out."),
    Reason("no_cell", "parse", "No cell lengths or angles are stated.", "Complete the CIF."),
    Reason("bad_cell", "parse", "The cell is not finite or cannot exist.", "Correct lengths and angles."),
    Reason("no_atoms", "parse", "The block lists no atoms with coordinates.", "Use the block with the structure."),
    Reason("bad_coordinates", "parse", "An atom's coordinates are missing or not numbers.", "Complete the CIF."),
    Reason(
        "bad_symmetry", "parse", "The symmetry operators cannot be read or form no group.", "Correct the operators."
    ),
    Reason("no_symmetry", "parse", "Neither operators nor a known space group is stated.", "Add the operators."),
    Reason("unknown_element", "parse", "An atom's type is no element.", "Correct _atom_site_type_symbol."),
    Reason("dummy_site", "parse", "Only placeholder sites are listed, no atoms.", "Use the refined structure."),
    Reason("occupancy_above_one", "parse", "More than one atom's worth on one site.", "Correct the occupancies."),
    Reason("bad_occupancy", "parse", "An occupancy is negative or not a number.", "Correct the occupancies."),
    Reason("atoms_overlap", "parse", "Two atoms lie on top of each other.", "Check coordinates, cell and symmetry."),
    Reason(
        "formula_mismatch",
        "parse",
        "The atoms listed contradict the formula that the CIF states.",
        'Complete the CIF, or set formula_mismatch = "warn".',
    ),
    Reason("too_many_sites", "parse", "The cell holds more sites than can be treated.", "Leave it out."),
    # Screen 2: one space group over all tolerances.
    Reason("symmetry_failed", "symmetry", "No space group is found at some tolerance.", "Look at the tolerances."),
    Reason(
        "symmetry_unstable",
        "symmetry",
        "The space group depends on the tolerance.",
        "The structure is distorted or rounded: refine or symmetrise it, or narrow the grid of tolerances.",
    ),
    # Screen 3: the reduced cell is that of the crystal system.
    Reason("reduction_failed", "lattice", "The cell cannot be reduced reliably.", "Report it with the CIF."),
    Reason(
        "lattice_mismatch",
        "lattice",
        "The reduced cell lacks the equalities that its Bravais lattice demands.",
        "The cell is strained: symmetrise it, or raise lattice_tolerance.",
    ),
    # Screen 4: size.
    Reason("volume_too_large", "size", "The conventional cell is too large.", "Raise max_volume_A3."),
    Reason("too_many_atoms", "size", "The conventional cell holds too many atoms.", "Raise max_atoms."),
    Reason("no_reflections", "pattern", "No reflection lies in the range: no pattern.", "Widen the range."),
)

REASONS: dict[str, Reason] = {r.code: r for r in _REASONS}
"""Every reason by its code."""

WARNINGS: dict[str, Warning] = {
    w.code: w
    for w in (
        Warning("formula_mismatch", "The atoms listed contradict the CIF's own formula.", "Check for missing atoms."),
        Warning("reader_warning", "The reader had something to remark.", "See the detail."),
    )
}
"""Every warning by its code."""


class Refused(Exception):  # noqa: N818 - a result on its way out, not an error
    """Ends the checks of one record: raised where a check fails, turned into a verdict in `curate`."""

    def __init__(self, code: str, detail: str):
        super().__init__(f"{code}: {detail}")
        self.code = REASONS[code].code
        self.detail = detail
