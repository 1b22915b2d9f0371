"""Why a structure is refused or remarked upon: each code with its stage, its meaning and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from catalogs.defects import DEFECTS

Stage = Literal["source", "sandbox", "parse", "symmetry", "lattice", "size", "pattern"]
"""Where a record is refused, in the order in which it is looked at."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A refusal's code and what stands behind it."""

    code: str
    stage: Stage
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning's code and what stands behind it: a doubt for which a structure is not refused."""

    code: str
    meaning: str
    remedy: str


class Refused(Exception):  # noqa: N818 - a result on its way out, not an error
    """Ends the checks of one record: raised where a check fails, turned into a verdict in `curate`."""

    def __init__(self, code: str, detail: str, **values: float):
        super().__init__(f"{code}: {detail}")
        self.code = REASONS[code].code
        self.detail = detail
        self.values = values
        """What the failing check saw, under the names of a verdict's columns."""


_SANDBOX = (
    Reason(
        "timeout",
        "sandbox",
        "The record used up its time.",
        "Raise the time limit, or leave the structure out; very large or nearly symmetric cells take longest.",
    ),
    Reason(
        "crashed",
        "sandbox",
        "The process died while it worked on the record; only this record was lost.",
        "Report it with the CIF: a library should not do that.",
    ),
    Reason(
        "out_of_memory",
        "sandbox",
        "The record needed more memory than it may have.",
        "Raise the memory limit if the structure is meant.",
    ),
    Reason(
        "internal_error",
        "sandbox",
        "Our own code failed on the record; the detail holds the traceback.",
        "Report it with the CIF.",
    ),
)

_READ = (
    Reason(
        "bad_syntax",
        "parse",
        "The text breaks the CIF grammar where it lists atoms or symmetry, beyond honest repair.",
        "Correct the place that the detail names: usually a value too many or too few in a loop.",
    ),
    Reason(
        "mmcif",
        "parse",
        "The file uses the macromolecular dictionary (mmCIF).",
        "Leave it out: a protein crystal is beyond 500 atoms and this energy's range.",
    ),
    Reason(
        "no_cell",
        "parse",
        "Lengths or angles of the cell are not stated.",
        "Complete the CIF; a block of bibliography or measured data has none and is rightly refused.",
    ),
    Reason("bad_cell", "parse", "The cell is not finite or cannot exist.", "Correct the lengths and angles."),
    Reason(
        "no_atoms",
        "parse",
        "The block lists no atoms with fractional coordinates.",
        "Use the block that holds the structure, if there is one.",
    ),
    Reason(
        "cartesian_only",
        "parse",
        "Coordinates are Cartesian only, and a CIF leaves open which way the axes point.",
        "Convert them to fractional coordinates with the program that wrote the file.",
    ),
    Reason(
        "bad_coordinates",
        "parse",
        "A coordinate of an atom other than hydrogen is missing or not a number.",
        "Complete the CIF, or remove the site if the atom was never located.",
    ),
    Reason(
        "no_symmetry",
        "parse",
        "Neither operators nor a known space group is stated, and the atoms listed are not the whole cell.",
        "Add _space_group_symop_operation_xyz.",
    ),
    Reason(
        "bad_symmetry",
        "parse",
        "The operators cannot be read, form no group, or do not fit the cell.",
        "Correct the operators; hexagonal operators on a rhombohedral cell are the usual cause of a misfit.",
    ),
    Reason(
        "symmetry_contradicted",
        "parse",
        "The listed operators are of another space group than the CIF names, and nothing tells which is right.",
        "Correct the list or the name, or state formula and Z, which settle most cases.",
    ),
    Reason(
        "operators_missing",
        "parse",
        "The cell holds a fraction of Z formula units in the volume of all of them: operators are missing.",
        "List all operators, or name the space group.",
    ),
    Reason(
        "modulated",
        "parse",
        "The crystal is modulated and only its superspace group is stated.",
        "Add the operators of the average structure.",
    ),
    Reason("unknown_element", "parse", "A site's type names no element.", "Correct _atom_site_type_symbol."),
    Reason(
        "dummy_site",
        "parse",
        "A site is a placeholder (Du, X, Q, Va, a centroid), so what scatters there is not known.",
        "Remove it, or mark it `dum` in _atom_site_calc_flag, if nothing is there.",
    ),
    Reason(
        "no_form_factor",
        "parse",
        "An element beyond californium has no tabulated X-ray form factor.",
        "Leave it out.",
    ),
    Reason("bad_occupancy", "parse", "An occupancy is negative or not a number.", "Correct _atom_site_occupancy."),
)

_ATOMS = (
    Reason(
        "occupancy_above_one",
        "parse",
        "More than one atom's worth stands on one site, beyond the tolerance.",
        "Correct the occupancies, or remove sites listed twice; raise occupancy_tolerance if rounding is to blame.",
    ),
    Reason(
        "atoms_overlap",
        "parse",
        "Two atoms that are both there are closer than any bond.",
        "Check coordinates, cell and symmetry; alternatives of a disordered atom need occupancies that sum to 1.",
    ),
    Reason(
        "formula_mismatch",
        "parse",
        "The atoms listed contradict the formula that the CIF states by more than max_formula_difference.",
        "Complete the CIF, or raise max_formula_difference to keep such structures with a warning.",
    ),
)

_PLAUSIBLE = (
    Reason(
        "contact_too_short",
        "parse",
        "Two atoms are closer than half the sum of their covalent radii.",
        'Check coordinates, cell and symmetry; set implausible = "warn" to keep such structures.',
    ),
    Reason(
        "volume_implausible",
        "parse",
        "The cell is far smaller or larger than its atoms usually are.",
        'Check cell, Z and symmetry; set implausible = "warn" to keep such structures.',
    ),
)

_SCREENS = (
    Reason(
        "symmetry_failed",
        "symmetry",
        "No space group is found at some pair of tolerances.",
        "Look at the columns of each pair: often sites closer together than the tolerance.",
    ),
    Reason(
        "symmetry_unstable",
        "symmetry",
        "The space group depends on the tolerances, or at some tolerance on the order in which the atoms are listed.",
        "The structure is distorted or rounded: refine or symmetrise it, or narrow the grid of tolerances.",
    ),
    Reason(
        "reduction_failed",
        "lattice",
        "The cell has no reliable Niggli form: the reduction does not end, is not right-handed, or is not its own.",
        "Report it with the CIF.",
    ),
    Reason(
        "lattice_mismatch",
        "lattice",
        "The reduced cell lacks the equalities of lengths and angles that its Bravais lattice demands.",
        "The cell is strained: symmetrise it, or raise lattice_tolerance.",
    ),
    Reason(
        "volume_too_large", "size", "The conventional cell is not below max_volume_A3.", "Raise max_volume_A3 if meant."
    ),
    Reason("too_many_atoms", "size", "The conventional cell holds more sites than max_atoms.", "Raise max_atoms."),
    Reason(
        "no_reflections",
        "pattern",
        "No reflection has intensity within the range: there would be no pattern.",
        "Widen the range of 2theta, or take a shorter wavelength.",
    ),
)

REASONS: dict[str, Reason] = {
    r.code: r
    for r in (
        *(Reason(code, "source", kind.meaning, kind.remedy) for code, kind in DEFECTS.items()),
        *_SANDBOX,
        *_READ,
        *_ATOMS,
        *_PLAUSIBLE,
        *_SCREENS,
    )
}
"""Every reason by its code, in the order in which records meet them."""

WARNINGS: dict[str, Remark] = {
    w.code: w
    for w in (
        Remark("syntax_repaired", "The text broke the CIF grammar and was read forgivingly.", "Correct the file."),
        Remark("several_blocks", "Several blocks hold atoms; the first was taken.", "Split the file."),
        Remark(
            "symmetry_contradiction",
            "The operators are those of another space group than the CIF names; the operators were used.",
            "Correct the name or the operators.",
        ),
        Remark(
            "symmetry_missing",
            "No symmetry is stated; the atoms listed make formula times Z, so they were taken for the whole cell.",
            "State P 1.",
        ),
        Remark(
            "operators_replaced",
            "The listed operators contradict formula times Z; those of the space group that the CIF names make it and "
            "were used.",
            "Correct the list of operators.",
        ),
        Remark("operators_completed", "Operators were missing; those listed generate the rest.", "List them all."),
        Remark(
            "origin_assumed",
            "The space group's name leaves the origin open; the one that agrees with formula and Z was taken.",
            "List the operators, or add :1 or :2 to the name.",
        ),
        Remark("volume_contradiction", "_cell_volume differs from the cell's volume by over 1 %.", "Correct either."),
        Remark("element_guessed", "An element was guessed from an irregular type or label.", "State the type symbols."),
        Remark(
            "hydrogens_missing",
            "Hydrogens that the formula or a site's type implies are not listed; the pattern lacks them.",
            "Add their coordinates if they are known.",
        ),
        Remark("dummy_sites_skipped", "Sites that the CIF marks as dummies were passed over.", "Nothing to do."),
        Remark("empty_sites_skipped", "Sites of zero occupancy were passed over.", "Nothing to do."),
        Remark(
            "special_position_snapped",
            "Images of a site lay so close together that it was moved onto the special position between them.",
            "Give the coordinate exactly, or with more digits.",
        ),
        Remark(
            "multiplicity_contradiction",
            "A site has another multiplicity than the CIF states.",
            "Check its coordinates against the operators.",
        ),
        Remark("sites_listed_twice", "The same atom is listed more than once; one was kept.", "Remove the others."),
        Remark(
            "contact_too_short",
            "Two atoms are closer than half the sum of their covalent radii; the column contact names them.",
            'Check coordinates, cell and symmetry; set implausible = "refuse" to be strict.',
        ),
        Remark(
            "volume_implausible",
            "The cell is far smaller or larger than its atoms usually are; see the column volume_ratio.",
            'Check cell, Z and symmetry; set implausible = "refuse" to be strict.',
        ),
        Remark("occupancy_scaled", "Occupancies summing slightly over 1 were scaled to 1.", "Correct the occupancies."),
        Remark(
            "split_positions",
            "Alternatives of a disordered atom lie closer together than any bond.",
            "Nothing to do if the occupancies are right.",
        ),
        Remark(
            "formula_mismatch",
            "The atoms listed contradict the formula that the CIF states.",
            "Look for missing atoms or wrong occupancies; lower max_formula_difference to be strict.",
        ),
        Remark("z_contradiction", "The cell holds another number of formula units than Z.", "Correct Z or the sites."),
        Remark(
            "displacement_assumed",
            "A site without a usable displacement parameter got u_iso_A2.",
            "Complete the CIF.",
        ),
        Remark("modulated", "The crystal is modulated; its average structure was taken.", "Nothing to do."),
        Remark("magnetic", "The CIF describes magnetic order, which X-rays do not see.", "Nothing to do."),
        Remark(
            "cell_depends_on_tolerance",
            "The space group is the same at all tolerances, but not the size of the primitive cell.",
            "Look at n_primitive_at: the structure is nearly one with a smaller cell.",
        ),
    )
}
"""Every warning by its code."""
