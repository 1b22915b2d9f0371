"""Choice of elements and symmetry where the CIF is ambiguous or contradicts itself.

Listed operators and the named space group should agree. Where they do not, because lists are truncated or mistyped, or
names copied from other structures, the symmetry that gives formula x Z is used; if none does, the record is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi

from curation.atoms import Array
from curation.content import agrees, compare
from curation.expand import Expansion, Sites, expand
from curation.operators import Operators, StatedSymmetry, from_setting
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.sites import read_sites


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
    if symmetry.listed is not None and not symmetry.contradicted:
        return expand(lattice, sites, symmetry.listed, settings, warnings)
    if symmetry.contradicted:
        return _settled(lattice, sites, symmetry, content, settings, warnings)
    if symmetry.named:
        return _named(lattice, sites, symmetry.named[0], content, settings, warnings)
    expansion = expand(lattice, sites, from_setting("P 1"), settings, warnings)
    if not content.settles(expansion, settings):
        raise Refused("no_symmetry", "neither operators nor a known space group, and P1 does not give formula x Z")
    warnings.add("symmetry_missing")
    return expansion


def _named(
    lattice: Array,
    sites: Sites,
    operators: Operators,
    content: StatedContent,
    settings: CurationSettings,
    warnings: set[str],
) -> Expansion:
    """Return the cell of the named group; for a name with two origins, by the one that gives formula x Z."""
    if not operators.origins:
        return expand(lattice, sites, operators, settings, warnings)
    warnings.add("origin_assumed")
    refusals = []
    for candidate in (operators, *map(from_setting, operators.origins)):
        remarks: set[str] = set()
        try:
            expansion = expand(lattice, sites, candidate, settings, remarks)
        except Refused as refused:
            refusals.append(refused)
            continue
        if not content.is_known or content.settles(expansion, settings):
            warnings |= remarks
            return expansion
    if refusals:
        raise refusals[0]
    return expand(lattice, sites, operators, settings, warnings)


@dataclass(frozen=True, eq=False)
class _Trial:
    """The cell expanded by one of the stated symmetries."""

    listed: bool
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
    trials, refusals = _trials(lattice, sites, symmetry, settings)
    chosen = next((trial for trial in trials if content.settles(trial.expansion, settings)), None)
    if chosen is None and trials and trials[0].listed and not refusals:
        amounts = trials[0].expansion.atoms.amounts()
        if all(trial.expansion.atoms.amounts() == amounts for trial in trials):
            chosen = trials[0]  # a name that changes nothing about the atoms
    if chosen is None:
        raise symmetry.problem or _contradiction(symmetry, trials, refusals, content)
    warnings |= chosen.remarks
    warnings.add("symmetry_contradiction" if chosen.listed else "operators_replaced")
    return chosen.expansion


def _trials(
    lattice: Array, sites: Sites, symmetry: StatedSymmetry, settings: CurationSettings
) -> tuple[list[_Trial], list[Refused]]:
    candidates = [] if symmetry.listed is None else [(True, symmetry.listed)]
    for named in symmetry.named:
        candidates += [(False, named), *((False, from_setting(other)) for other in named.origins)]
    trials: list[_Trial] = []
    refusals: list[Refused] = []
    for listed, operators in candidates:
        remarks: set[str] = set()
        try:
            trials.append(_Trial(listed, expand(lattice, sites, operators, settings, remarks), remarks))
        except Refused as refused:
            refusals.append(refused)
    return trials, refusals


def _contradiction(
    symmetry: StatedSymmetry, trials: list[_Trial], refusals: list[Refused], content: StatedContent
) -> Refused:
    named = " and ".join(str(n) for n in dict.fromkeys(operators.number for operators in symmetry.named))
    counts = ", ".join(f"{t.expansion.atoms.n_sites} by {'the list' if t.listed else 'the name'}" for t in trials)
    wanted = "formula or Z is not stated" if not content.is_known else f"neither makes the formula {content.z:g} times"
    return Refused(
        "symmetry_contradicted",
        f"the listed operators are of space group {symmetry.listed.number if symmetry.listed else 'none'}, the CIF "
        f"names {named}; sites in the cell: {counts or 'none'}; {wanted}"
        + (f"; {refusals[0].detail}" if refusals else ""),
    )
