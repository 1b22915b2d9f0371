"""The whole cell from its sites, where the CIF leaves elements or symmetry open."""

from __future__ import annotations

from curation.atoms import Array
from curation.cif_block import Block
from curation.composition import formula_difference
from curation.content import content_agrees
from curation.expand import Expansion, Sites, expand
from curation.operators import Operators, from_setting
from curation.reasons import Refused
from curation.settings import CurationSettings
from curation.sites import read_sites


def best_expansion(
    block: Block,
    lattice: Array,
    operators: Operators | None,
    formula: dict[str, float] | None,
    z: float | None,
    settings: CurationSettings,
) -> tuple[Expansion, set[str]]:
    """The whole cell; where labels can be read as two elements, the reading that comes closer to the formula."""
    found: list[tuple[float, Expansion, set[str]]] = []
    for long_labels in (True, False):
        remarks: set[str] = set()
        sites = read_sites(block, lattice, frozenset(formula or ()), settings, remarks, long_labels=long_labels)
        expansion = _expansion(lattice, sites, operators, formula, z, settings, remarks)
        difference = formula_difference(expansion.atoms.amounts(), formula)[0] if formula else 0.0
        found.append((difference, expansion, remarks))
        if "element_guessed" not in remarks or not formula:
            break
    _, expansion, remarks = min(found, key=lambda one: one[0])
    return expansion, remarks


def _expansion(
    lattice: Array,
    sites: Sites,
    operators: Operators | None,
    formula: dict[str, float] | None,
    z: float | None,
    settings: CurationSettings,
    warnings: set[str],
) -> Expansion:
    """The whole cell; where the CIF leaves the setting open, the one whose content agrees with formula and Z."""
    if operators is None:
        expansion = expand(lattice, sites, from_setting("P 1"), settings, warnings)
        if formula is None or z is None or not content_agrees(expansion.atoms, formula, z, settings):
            raise Refused("no_symmetry", "neither operators nor a known space group, and P1 does not give formula x Z")
        warnings.add("symmetry_missing")
        return expansion
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
        if formula is None or z is None or content_agrees(expansion.atoms, formula, z, settings):
            warnings |= remarks
            return expansion
    if refusals:
        raise refusals[0]
    return expand(lattice, sites, operators, settings, warnings)
