"""Choice of elements and symmetry where the CIF is ambiguous or contradicts itself.

Listed operators and the named space group should agree. Where they do not, because lists are truncated or mistyped, or
names copied from other structures, the symmetry that gives formula x Z is used; if none does, the record is refused.
Names alone may leave origin or axes open; the record is then refused unless only one crystal remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi

from curation.atoms import Array
from curation.content import NEARLY_EQUAL, agrees, compare
from curation.expand import LARGEST_MISFIT, Expansion, Sites, expand, misfit
from curation.operators import Operators, from_setting
from curation.reasons import Refused
from curation.same_crystal import same_crystal
from curation.settings import CurationSettings
from curation.sites import read_sites
from curation.stated_symmetry import StatedSymmetry

SAME_POSITION_A = 1e-3
"""Least distance within which two symmetries give an atom the same position."""


@dataclass(frozen=True)
class StatedContent:
    """Formula (amounts by element) and formula units of the cell, if the CIF states them."""

    formula: dict[str, float] | None
    z: float | None

    def settles(self, expansion: Expansion, settings: CurationSettings) -> bool:
        """Return whether the cell contains the stated formula Z times."""
        if self.formula is None or self.z is None:
            return False
        return agrees(expansion.atoms.amounts(), self.formula, self.z, settings)

    def agrees(self, expansion: Expansion, settings: CurationSettings) -> bool:
        """Return whether the atoms have the proportions of the stated formula."""
        return (
            self.formula is not None
            and compare(expansion.atoms.amounts(), self.formula, settings).heavy_difference <= NEARLY_EQUAL
        )

    @property
    def is_known(self) -> bool:
        """Whether both are stated."""
        return self.formula is not None and self.z is not None


def best_expansion(
    block: gemmi.cif.Block,
    lattice: Array,
    symmetry: StatedSymmetry,
    content: StatedContent,
    settings: CurationSettings,
) -> tuple[Expansion, set[str]]:
    """Return the whole cell; for labels that can be two elements, the reading closer to the formula."""
    found: list[tuple[float, Expansion, set[str]]] = []
    formula = content.formula
    for long_labels in (True, False):
        remarks: set[str] = set()
        sites = read_sites(block, lattice, frozenset(formula or ()), settings, remarks, long_labels=long_labels)
        expansion = _expansion(lattice, sites, symmetry, content, settings, remarks)
        difference = compare(expansion.atoms.amounts(), formula, settings).difference if formula else 0.0
        found.append((difference, expansion, remarks))
        if "element_guessed" not in remarks or not formula:
            break
    _, expansion, remarks = min(found, key=lambda one: one[0])
    return expansion, remarks


def _expansion(
    lattice: Array,
    sites: Sites,
    symmetry: StatedSymmetry,
    content: StatedContent,
    settings: CurationSettings,
    warnings: set[str],
) -> Expansion:
    if symmetry.contradicted:
        return _settled(lattice, sites, symmetry, content, settings, warnings)
    if symmetry.listed is not None:
        return expand(lattice, sites, symmetry.listed, settings, warnings)
    if symmetry.readings:
        return _named(lattice, sites, symmetry, content, settings, warnings)
    expansion = expand(lattice, sites, from_setting("P 1"), settings, warnings)
    if not content.settles(expansion, settings):
        raise Refused("no_symmetry", "neither operators nor a known space group, and P1 does not give formula x Z")
    warnings.add("symmetry_missing")
    return expansion


def _named(
    lattice: Array,
    sites: Sites,
    symmetry: StatedSymmetry,
    content: StatedContent,
    settings: CurationSettings,
    warnings: set[str],
) -> Expansion:
    """Return the cell of the named group; refuse a name whose settings give several crystals that may be meant."""
    readings = _that_fit(lattice, symmetry.readings)
    if len(readings) == 1:
        return expand(lattice, sites, readings[0], settings, warnings)
    trials, refusals = _trials(lattice, sites, readings, settings)
    if not trials:
        raise refusals[0]
    agreeing = [trial for trial in trials if content.agrees(trial.expansion, settings)]
    possible = [trial for trial in agreeing if content.settles(trial.expansion, settings)] or agreeing or trials
    if len(distinct := _distinct(possible, settings)) > 1:
        counts = ", ".join(f"{t.expansion.atoms.n_sites} by {t.operators.setting or 'Hall'}" for t in distinct)
        raise Refused("symmetry_ambiguous", f"sites in the cell: {counts}; {_wanted(content)}")
    warnings |= possible[0].remarks
    warnings.add("origin_assumed")
    return possible[0].expansion


@dataclass(frozen=True, eq=False)
class _Trial:
    """The cell expanded by one of the stated symmetries."""

    operators: Operators
    expansion: Expansion
    remarks: set[str]


def _settled(
    lattice: Array,
    sites: Sites,
    symmetry: StatedSymmetry,
    content: StatedContent,
    settings: CurationSettings,
    warnings: set[str],
) -> Expansion:
    """Return the cell of the symmetry that gives formula x Z, listed operators first; refuse if none does."""
    listed = [] if symmetry.listed is None else [symmetry.listed]
    trials, refusals = _trials(lattice, sites, (*listed, *_that_fit(lattice, symmetry.readings)), settings)
    possible = [trial for trial in trials if content.settles(trial.expansion, settings)]
    if not possible and trials and not refusals and symmetry.problem is None:
        possible = trials  # a name that changes nothing about the atoms
    if len(_distinct(possible, settings)) != 1:
        raise symmetry.problem or _contradiction(symmetry, trials, refusals, content)
    chosen = possible[0]
    warnings |= chosen.remarks
    if symmetry.listed is None and symmetry.problem is None:
        warnings.add("names_contradict")
    else:
        warnings.add("symmetry_contradiction" if chosen.operators is symmetry.listed else "operators_replaced")
    return chosen.expansion


def _that_fit(lattice: Array, readings: tuple[Operators, ...]) -> tuple[Operators, ...]:
    """Return the readings whose axes fit the cell; of a space group none of whose settings fits, the first."""
    found: dict[int | None, tuple[Operators, ...]] = {}
    for operators in readings:
        if misfit(lattice, operators) <= LARGEST_MISFIT:
            found[operators.number] = (*found.get(operators.number, ()), operators)
    for operators in readings:
        found.setdefault(operators.number, (operators,))
    order = dict.fromkeys(operators.number for operators in readings)
    return tuple(operators for number in order for operators in found[number])


def _trials(
    lattice: Array, sites: Sites, readings: tuple[Operators, ...], settings: CurationSettings
) -> tuple[list[_Trial], list[Refused]]:
    trials: list[_Trial] = []
    refusals: list[Refused] = []
    for operators in readings:
        remarks: set[str] = set()
        try:
            trials.append(_Trial(operators, expand(lattice, sites, operators, settings, remarks), remarks))
        except Refused as refused:
            refusals.append(refused)
    return trials, refusals


def _distinct(trials: list[_Trial], settings: CurationSettings) -> list[_Trial]:
    """Return one trial of each crystal."""
    found: list[_Trial] = []
    tolerance_A = max(settings.merge_distance_A, SAME_POSITION_A)
    for trial in trials:
        if not any(same_crystal(trial.expansion.atoms, one.expansion.atoms, tolerance_A) for one in found):
            found.append(trial)
    return found


def _contradiction(
    symmetry: StatedSymmetry, trials: list[_Trial], refusals: list[Refused], content: StatedContent
) -> Refused:
    named = " and ".join(str(number) for number in symmetry.numbers)
    counts = ", ".join(
        f"{t.expansion.atoms.n_sites} by {'the list' if t.operators is symmetry.listed else 'the name'}" for t in trials
    )
    listed = "" if symmetry.listed is None else f"the listed operators are of space group {symmetry.listed.number}, "
    return Refused(
        "symmetry_contradicted",
        f"{listed}the CIF names {named}; sites in the cell: {counts or 'none'}; {_wanted(content)}"
        + (f"; {refusals[0].detail}" if refusals else ""),
    )


def _wanted(content: StatedContent) -> str:
    """Return why the content of the cell does not decide."""
    return "formula or Z is not stated" if not content.is_known else f"formula x {content.z:g} does not decide"
