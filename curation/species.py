"""Element and charge of a site, from its type symbol or else its label."""

from __future__ import annotations

import re
from functools import lru_cache

import gemmi

from curation.composition import ELEMENTS
from curation.reasons import Refused

_LETTERS = re.compile(r"[A-Za-z]+")
_CHARGE = re.compile(r"(?P<before>\d*)(?P<sign>[+-])(?P<after>\d*)$")
_WATER = frozenset(("oh", "oh2", "h2o", "oh-", "ow"))
"""Symbols of oxygen with unlisted hydrogens."""
_DUMMY = frozenset(("x", "xx", "du", "dum", "q", "cg", "lp", "va", "vac", "dummy"))


def species_of(
    type_symbol: str | None,
    label: str | None,
    formula: frozenset[str],
    warnings: set[str],
    *,
    long_labels: bool = True,
) -> str:
    """Return the element with the charge that the type symbol states: `Fe`, `Fe3+`, `D`.

    `formula` contains the elements of the CIF's formula, which decide between two readings of a label (`CA1` is carbon
    or calcium). If they do not decide, `long_labels` chooses two letters, else one.
    """
    species, remarks = _species_of(type_symbol, label, formula, long_labels)
    warnings.update(remarks)
    return species


@lru_cache(maxsize=4096)
def _species_of(
    type_symbol: str | None, label: str | None, formula: frozenset[str], long_labels: bool
) -> tuple[str, tuple[str, ...]]:
    for text, is_label in ((type_symbol, False), (label, True)):
        letters = _LETTERS.match(text) if text else None
        if text is None or letters is None:
            continue
        lower = letters[0].lower()
        if text.lower() in _WATER or lower.startswith("wat") or (is_label and lower == "w" and _is_water(formula)):
            return "O", ("hydrogens_missing",)
        element, guessed = _element_of(letters[0], formula, is_label=is_label, long_labels=long_labels)
        if lower in _DUMMY:
            raise Refused("dummy_site", f"{label or text} of type {text} is a placeholder, not an atom")
        if element is None:
            raise Refused("unknown_element", f"{text} (label {label}) names no element")
        charge = "" if is_label else _charge_of(text[letters.end() :])
        return element + charge, ("element_guessed",) if guessed else ()
    raise Refused("unknown_element", f"a site has neither a type nor a label that names an element ({label})")


def _is_water(formula: frozenset[str]) -> bool:
    """Return whether a site labelled W is water rather than tungsten."""
    return "O" in formula and "W" not in formula


def _element_of(letters: str, formula: frozenset[str], *, is_label: bool, long_labels: bool) -> tuple[str | None, bool]:
    """Return the element, and whether it was guessed."""
    two, one = letters[:2].capitalize(), letters[0].upper()
    two_known, one_known = len(letters) > 1 and two in ELEMENTS, one in ELEMENTS
    if not is_label and len(letters) <= 2 and letters.capitalize() in ELEMENTS:
        return letters.capitalize(), False
    if len(letters) == 1 or not two_known:
        return (one if one_known else None), len(letters) > 1 and not is_label
    if not one_known:
        return two, False
    if formula and (two in formula) != (one in formula):
        return (two if two in formula else one), False
    if letters[0].isupper() and letters[1].islower():
        return two, False
    return (two if long_labels else one), True


def _charge_of(text: str) -> str:
    found = _CHARGE.match(text)
    if found is None:
        return ""
    size = int(found["before"] or found["after"] or 1)
    return "" if size == 0 else ("" if size == 1 else str(size)) + found["sign"]


def has_form_factor(species: str) -> bool:
    """Return whether the International Tables have an X-ray form factor (hydrogen to californium)."""
    return gemmi.Element(species.rstrip("+-0123456789")).it92 is not None
