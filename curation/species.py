"""Element and charge of a site, from its type symbol or else its label."""

from __future__ import annotations

import re
from functools import lru_cache

import gemmi

from curation.composition import ELEMENTS
from curation.reasons import Refused

_LETTERS = re.compile(r"[A-Za-z]+")
_SYMBOL = re.compile(r"(?P<letters>[A-Za-z]+)(?P<charge>\d*[+-]\d*)?")
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
        if lower in _DUMMY:
            raise Refused("dummy_site", f"{label or text} of type {text} is a placeholder, not an atom")
        rest = text[letters.end() :]
        if is_label:
            element, guessed = _element_of_label(letters[0], formula, long_labels=long_labels)
        else:
            element, guessed = _element_of_type(letters[0], rest, label, formula)
        if element is None:
            raise Refused("unknown_element", f"{text} (label {label}) names no element with certainty")
        charge = "" if is_label else _charge_of(rest)
        return element + charge, ("element_guessed",) if guessed else ()
    raise Refused("unknown_element", f"a site has neither a type nor a label that names an element ({label})")


def species_of_symbol(symbol: str) -> str:
    """Return the species that a symbol names exactly, such as `Fe`, `Fe3+` and `D`; no other text is interpreted."""
    found = _SYMBOL.fullmatch(symbol)
    if found is not None and found["letters"].lower() in _DUMMY:
        raise Refused("dummy_site", f"{symbol} is a placeholder, not an atom")
    if found is None or found["letters"] not in ELEMENTS:
        raise Refused("unknown_element", f"expected the symbol of an element, found {symbol[:40]!r}")
    return str(found["letters"]) + _charge_of(found["charge"] or "")


def _is_water(formula: frozenset[str]) -> bool:
    """Return whether a site labelled W is water rather than tungsten."""
    return "O" in formula and "W" not in formula


def _element_of_type(letters: str, rest: str, label: str | None, formula: frozenset[str]) -> tuple[str | None, bool]:
    """Return the element, and whether it was guessed; None if neither formula nor label confirms a guess.

    Capitals before a number without a sign may be a charge or a group of atoms: `CO3` is cobalt or a carbonate.
    """
    may_be_a_group = len(letters) == 2 and letters.isupper() and rest[:1].isdigit() and not _CHARGE.match(rest)
    if letters.capitalize() in ELEMENTS and not may_be_a_group:
        return letters.capitalize(), False
    readings = {name for name in (letters[:2].capitalize(), letters[0].upper()) if name in ELEMENTS}
    if len(in_formula := readings & formula) == 1:
        return in_formula.pop(), True
    named = _LETTERS.match(label) if label else None
    if named is None or named[0] not in readings or (len(named[0]) == 1 and len(readings) > 1):
        return None, True
    return named[0], True


def _element_of_label(letters: str, formula: frozenset[str], *, long_labels: bool) -> tuple[str | None, bool]:
    """Return the element, and whether it was guessed; None if there is no formula to compare a guess with."""
    two, one = letters[:2].capitalize(), letters[0].upper()
    two_known, one_known = len(letters) > 1 and two in ELEMENTS, one in ELEMENTS
    if not two_known:
        return (one if one_known else None), False
    if not one_known:
        return two, False
    if formula and (two in formula) != (one in formula):
        return (two if two in formula else one), False
    if letters[0].isupper() and letters[1].islower():
        return two, False
    return (None if not formula else two if long_labels else one), True


def _charge_of(text: str) -> str:
    found = _CHARGE.match(text)
    if found is None:
        return ""
    size = int(found["before"] or found["after"] or 1)
    return "" if size == 0 else ("" if size == 1 else str(size)) + found["sign"]


def has_form_factor(species: str) -> bool:
    """Return whether the International Tables have an X-ray form factor (hydrogen to californium)."""
    return gemmi.Element(species.rstrip("+-0123456789")).it92 is not None
