"""Reasons for refusals and warnings of curation, by stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from catalogs.defects import DEFECTS
from catalogs.reason import Reason

Stage = Literal["source", "sandbox", "parse", "symmetry", "lattice", "size", "pattern"]
"""Stages at which a record is refused, in their order."""


class Refused(Exception):  # noqa: N818 - a result, not an error
    """A check refuses the record; `curate` converts it to a verdict."""

    def __init__(self, code: str, detail: str, **values: float):
        super().__init__(f"{code}: {detail}")
        self.code = REASONS[code].code
        self.detail = detail
        self.values = values
        """Values of the failed check, by columns of a verdict."""


_SANDBOX = (
    Reason(
        "timeout",
        "The record exceeded the time limit.",
        "Raise the time limit, or exclude the structure; very large or nearly symmetric cells take longest.",
    ),
    Reason(
        "crashed",
        "The process died while it curated the record; other records are not affected.",
        "Report it with the CIF.",
    ),
    Reason(
        "out_of_memory",
        "The record exceeded the memory limit.",
        "Raise the memory limit to keep it.",
    ),
    Reason(
        "internal_error",
        "Curation raised an unexpected error; the detail is the traceback.",
        "Report it with the CIF.",
    ),
)

_READ = (
    Reason(
        "bad_syntax",
        "The text breaks the CIF grammar where it lists atoms or symmetry, beyond repair.",
        "Correct the place given in the detail, usually a surplus or missing value in a loop.",
    ),
    Reason(
        "mmcif",
        "The file describes a macromolecule (mmCIF with entities or chains).",
        "Exclude it: protein crystals exceed 500 atoms.",
    ),
    Reason(
        "bad_format",
        "The text breaks the rules of its format: POSCAR, extended XYZ or JSON.",
        "Correct the place given in the detail, or write the file again.",
    ),
    Reason(
        "not_periodic",
        "The structure does not repeat in three directions: a molecule, a chain or a slab.",
        "Exclude it: a powder pattern needs a crystal.",
    ),
    Reason(
        "incomplete",
        "The source says that atoms or positions are missing, or that they cannot all be present.",
        "Exclude it, or complete the structure.",
    ),
    Reason(
        "no_cell",
        "Lengths or angles of the cell are not stated.",
        "Complete the CIF; blocks of bibliography or measured data have none.",
    ),
    Reason("bad_cell", "The cell is not finite or geometrically impossible.", "Correct the lengths and angles."),
    Reason(
        "no_atoms",
        "The block lists no atoms with fractional coordinates.",
        "Use the block that holds the structure, if there is one.",
    ),
    Reason(
        "cartesian_only",
        "Only Cartesian coordinates are given, whose axes a CIF does not define.",
        "Convert them to fractional coordinates with the program that wrote the file.",
    ),
    Reason(
        "bad_coordinates",
        "A coordinate of an atom other than hydrogen is missing or not a number.",
        "Complete the CIF, or remove the site if the atom was never located.",
    ),
    Reason(
        "no_symmetry",
        "Neither operators nor a known space group is stated, and the atoms listed are not the whole cell.",
        "Add _space_group_symop_operation_xyz.",
    ),
    Reason(
        "bad_symmetry",
        "The operators cannot be read, form no group, or do not fit the cell.",
        "Correct the operators; hexagonal operators on a rhombohedral cell are the usual cause of a misfit.",
    ),
    Reason(
        "symmetry_contradicted",
        "The listed operators and the names are of different space groups, and formula and Z confirm none or several.",
        "Correct the list or the names, or state formula and Z.",
    ),
    Reason(
        "symmetry_ambiguous",
        "The space group's name or number leaves origin or axes open, and several crystals are possible.",
        "List the operators, or add :1 or :2 to the name; formula and Z decide in many cases.",
    ),
    Reason(
        "operators_missing",
        "The cell contains a fraction of Z formula units in the volume of Z: operators are missing.",
        "List all operators, or name the space group.",
    ),
    Reason(
        "modulated",
        "The crystal is modulated and only its superspace group is stated.",
        "Add the operators of the average structure.",
    ),
    Reason(
        "unknown_element",
        "A site's type names no element, or it could be one of two.",
        "Correct the type: in a CIF _atom_site_type_symbol, elsewhere the symbol alone, as `Fe` or `Fe3+`.",
    ),
    Reason(
        "dummy_site",
        "A site is a placeholder (Du, X, Q, Va, a centroid), with unknown scattering.",
        "Remove it, or mark it `dum` in _atom_site_calc_flag, if nothing is there.",
    ),
    Reason(
        "no_form_factor",
        "An element beyond californium has no tabulated X-ray form factor.",
        "Exclude it.",
    ),
    Reason("bad_occupancy", "An occupancy is negative or not a number.", "Correct _atom_site_occupancy."),
)

_ATOMS = (
    Reason(
        "occupancy_above_one",
        "The occupancies of a site sum to more than 1, beyond the tolerance.",
        "Correct the occupancies, or remove sites listed twice; raise occupancy_tolerance if it is rounding.",
    ),
    Reason(
        "atoms_overlap",
        "Two atoms that are both present are closer than any bond.",
        "Check coordinates, cell and symmetry; alternatives of a disordered atom need occupancies that sum to 1.",
    ),
    Reason(
        "formula_mismatch",
        "The atoms listed contradict the formula that the CIF states by more than max_formula_difference.",
        "Complete the CIF, or raise max_formula_difference to keep such structures with a warning.",
    ),
)

_PLAUSIBLE = (
    Reason(
        "contact_too_short",
        "Two atoms are closer than half the sum of their covalent radii.",
        'Check coordinates, cell and symmetry; set implausible = "warn" to keep such structures.',
    ),
    Reason(
        "volume_implausible",
        "The cell is far smaller or larger than its atoms usually are.",
        'Check cell, Z and symmetry; set implausible = "warn" to keep such structures.',
    ),
)

_SYMMETRY = (
    Reason(
        "symmetry_failed",
        "No space group is found at some pair of tolerances.",
        "Check the columns of each pair; often sites are closer together than the tolerance.",
    ),
    Reason(
        "symmetry_unstable",
        "The space group depends on the tolerances, or at some tolerance on the order in which the atoms are listed.",
        "The structure is distorted or rounded: refine or symmetrise it, or narrow the grid of tolerances.",
    ),
)

_LATTICE = (
    Reason(
        "reduction_failed",
        "The cell has no reliable Niggli form: the reduction does not end, is not right-handed, or is not stable.",
        "Report it with the CIF.",
    ),
    Reason(
        "lattice_mismatch",
        "The reduced cell lacks the equalities of lengths and angles of its Bravais lattice.",
        "The cell is strained: symmetrise it, or raise lattice_tolerance.",
    ),
)

_SIZE = (
    Reason("volume_too_large", "The conventional cell is not below max_volume_A3.", "Raise max_volume_A3 to keep it."),
    Reason("too_many_atoms", "The conventional cell holds more sites than max_atoms.", "Raise max_atoms to keep it."),
)

_PATTERN = (
    Reason(
        "no_reflections",
        "No reflection has intensity within the range: there would be no pattern.",
        "Widen the range of 2theta, or take a shorter wavelength.",
    ),
)

_STAGES: dict[Stage, tuple[Reason, ...]] = {
    "source": tuple(DEFECTS.values()),
    "sandbox": _SANDBOX,
    "parse": (*_READ, *_ATOMS, *_PLAUSIBLE),
    "symmetry": _SYMMETRY,
    "lattice": _LATTICE,
    "size": _SIZE,
    "pattern": _PATTERN,
}

REASONS: dict[str, Reason] = {
    reason.code: replace(reason, stage=stage) for stage, reasons in _STAGES.items() for reason in reasons
}
"""Every reason for a refusal by its code, in the order of the stages."""

WARNINGS: dict[str, Reason] = {
    w.code: w
    for w in (
        Reason(
            "syntax_repaired", "The text broke the CIF grammar and was repaired while reading.", "Correct the file."
        ),
        Reason("several_blocks", "Several blocks contain atoms; the first was used.", "Split the file."),
        Reason(
            "symmetry_contradiction",
            "The listed operators contradict the named space group; the operators were used.",
            "Correct the name or the operators.",
        ),
        Reason(
            "symmetry_missing",
            "No symmetry is stated; the atoms listed give formula times Z, so they are the whole cell.",
            "State P 1.",
        ),
        Reason(
            "operators_replaced",
            "The listed operators contradict formula times Z; those of the named space group agree and were used.",
            "Correct the list of operators.",
        ),
        Reason("operators_completed", "Operators were missing; those listed generate the rest.", "List them all."),
        Reason(
            "origin_assumed",
            "The space group's name or number leaves origin or axes open; the only crystal that is possible was used.",
            "List the operators, or add :1 or :2 to the name.",
        ),
        Reason(
            "names_contradict",
            "Names and number are of different space groups; formula times Z decides, or all give one crystal.",
            "Correct the names.",
        ),
        Reason("volume_contradiction", "_cell_volume differs from the cell's volume by over 1 %.", "Correct either."),
        Reason(
            "element_guessed",
            "An element was read from an irregular type or label; formula or label confirm it.",
            "State the type symbols.",
        ),
        Reason(
            "hydrogens_missing",
            "Hydrogens that the formula or a site's type implies are not listed; the pattern lacks them.",
            "Add their coordinates if they are known.",
        ),
        Reason("dummy_sites_skipped", "Sites marked as dummies were skipped.", "Nothing to do."),
        Reason("empty_sites_skipped", "Sites of zero occupancy were skipped.", "Nothing to do."),
        Reason(
            "special_position_snapped",
            "A site was moved onto a special position because its images were close together.",
            "Give the coordinate exactly, or with more digits.",
        ),
        Reason(
            "multiplicity_contradiction",
            "A site's multiplicity differs from the stated one.",
            "Check its coordinates against the operators.",
        ),
        Reason("sites_listed_twice", "The same atom is listed more than once; one was kept.", "Remove the others."),
        Reason(
            "contact_too_short",
            "Two atoms are closer than half the sum of their covalent radii; the column contact names them.",
            'Check coordinates, cell and symmetry; set implausible = "refuse" to be strict.',
        ),
        Reason(
            "volume_implausible",
            "The cell is far smaller or larger than its atoms usually are; see the column volume_ratio.",
            'Check cell, Z and symmetry; set implausible = "refuse" to be strict.',
        ),
        Reason("occupancy_scaled", "Occupancies summing slightly over 1 were scaled to 1.", "Correct the occupancies."),
        Reason(
            "split_positions",
            "Alternatives of a disordered atom are closer together than any bond.",
            "Nothing to do if the occupancies are right.",
        ),
        Reason(
            "formula_mismatch",
            "The atoms listed contradict the formula that the CIF states.",
            "Check for missing atoms or wrong occupancies; lower max_formula_difference to be strict.",
        ),
        Reason(
            "formula_unread",
            "The formula that the CIF states cannot be read; the atoms were not compared with it.",
            "Write it as `Ca C O3`.",
        ),
        Reason("z_contradiction", "The number of formula units in the cell is not Z.", "Correct Z or the sites."),
        Reason(
            "displacement_assumed",
            "A site has no usable displacement parameter; u_iso_A2 was used.",
            "Complete the CIF.",
        ),
        Reason("modulated", "The crystal is modulated; its average structure was used.", "Nothing to do."),
        Reason(
            "magnetic", "The file describes magnetic order, which does not affect X-ray intensities.", "Nothing to do."
        ),
        Reason(
            "constraints_ignored",
            "The file constrains the motion of atoms, which does not affect intensities.",
            "Nothing to do.",
        ),
        Reason(
            "charges_ignored",
            "Charges are no whole oxidation states; the neutral atoms' form factors were used.",
            "State whole oxidation states, or none.",
        ),
        Reason(
            "cell_depends_on_tolerance",
            "The space group is the same at all tolerances, but not the size of the primitive cell.",
            "Check n_primitive_at: the structure is close to one with a smaller cell.",
        ),
    )
}
"""Every warning by its code."""
