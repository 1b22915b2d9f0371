"""Composition of structures: formulas and the 118 atomic fractions."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.labels import N_ELEMENTS

SYMBOLS: tuple[str, ...] = tuple(str(gemmi.Element(z).name) for z in range(1, N_ELEMENTS + 1))
"""Element symbols by atomic number; the index is Z - 1."""

_Z = {s: z for z, s in enumerate(SYMBOLS, start=1)} | {"D": 1}
ELEMENTS = frozenset(_Z)
"""Symbols of elements, including deuterium's."""
_PAULING = """
H 2.20 Li 0.98 Be 1.57 B 2.04 C 2.55 N 3.04 O 3.44 F 3.98 Na 0.93 Mg 1.31 Al 1.61 Si 1.90 P 2.19 S 2.58 Cl 3.16 K 0.82
Ca 1.00 Sc 1.36 Ti 1.54 V 1.63 Cr 1.66 Mn 1.55 Fe 1.83 Co 1.88 Ni 1.91 Cu 1.90 Zn 1.65 Ga 1.81 Ge 2.01 As 2.18 Se 2.55
Br 2.96 Kr 3.00 Rb 0.82 Sr 0.95 Y 1.22 Zr 1.33 Nb 1.60 Mo 2.16 Tc 1.90 Ru 2.20 Rh 2.28 Pd 2.20 Ag 1.93 Cd 1.69 In 1.78
Sn 1.96 Sb 2.05 Te 2.10 I 2.66 Xe 2.60 Cs 0.79 Ba 0.89 La 1.10 Ce 1.12 Pr 1.13 Nd 1.14 Pm 1.13 Sm 1.17 Eu 1.20 Gd 1.20
Tb 1.10 Dy 1.22 Ho 1.23 Er 1.24 Tm 1.25 Yb 1.10 Lu 1.27 Hf 1.30 Ta 1.50 W 2.36 Re 1.90 Os 2.20 Ir 2.20 Pt 2.28 Au 2.54
Hg 2.00 Tl 1.62 Pb 2.33 Bi 2.02 Po 2.00 At 2.20 Rn 2.20 Fr 0.70 Ra 0.90 Ac 1.10 Th 1.30 Pa 1.50 U 1.38 Np 1.36 Pu 1.28
Am 1.30 Cm 1.30 Bk 1.30 Cf 1.30 Es 1.30 Fm 1.30 Md 1.30 No 1.30 Lr 1.30
"""
_ELECTRONEGATIVITY = {e: float(x) for e, x in zip(_PAULING.split()[::2], _PAULING.split()[1::2], strict=True)}
"""Electronegativities on Pauling's scale as in pymatgen; other elements have none."""
_SPECIES = re.compile(r"([A-Z][a-z]?)")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


def element_of(species: str) -> str:
    """Return the element of a species: `Fe` of `Fe3+`; hydrogen of deuterium."""
    found = _SPECIES.match(species)
    if found is None or found[1] not in _Z:
        raise ValueError(f"{species!r} names no element")
    return SYMBOLS[_Z[found[1]] - 1]


def atomic_number(species: str) -> int:
    """Return Z of a species such as `Fe3+`."""
    return _Z[element_of(species)]


def element_amounts(amounts: dict[str, float]) -> dict[str, float]:
    """Return amounts by element from amounts by species, in alphabetical order, zeros left out."""
    found: dict[str, float] = {}
    for species, amount in amounts.items():
        element = element_of(species)
        found[element] = found.get(element, 0.0) + amount
    return {e: v for e, v in sorted(found.items()) if v > 0}


def atomic_fractions(amounts: dict[str, float]) -> NDArray[np.float64]:
    """Return the atomic fraction of each of the 118 elements, from amounts by species; hydrogen (Z = 1) at index 0."""
    vector = np.zeros(N_ELEMENTS)
    for species, amount in amounts.items():
        vector[atomic_number(species) - 1] += amount
    total = vector.sum()
    return vector / total if total > 0 else vector


def reduced_formula(amounts: dict[str, float]) -> str:
    """Return the reduced formula, such as `NaCl` and `SiO2`, with decimals for fractional amounts.

    Elements stand by electronegativity, and of equals by the alphabet, as the Materials Project has them.
    """
    elements = element_amounts(amounts)
    values = list(elements.values())
    whole = [round(v) for v in values]
    if values and all(w > 0 and abs(v - w) < 1e-3 for v, w in zip(values, whole, strict=True)):
        divisor = math.gcd(*whole)
        reduced: list[float] = [w / divisor for w in whole]
    else:
        reduced = _smallest_ratio(values)
    parts = dict(zip(elements, reduced, strict=True))
    order = sorted(parts, key=lambda e: (_ELECTRONEGATIVITY.get(e, math.inf), e))
    return "".join(e + ("" if parts[e] == 1 else _four_digits(parts[e])) for e in order)


def _four_digits(amount: float) -> str:
    """Return an amount with four significant digits and no exponent."""
    return np.format_float_positional(amount, precision=4, unique=False, fractional=False, trim="-")


def in_hill_order(formula: str) -> str:
    """Return the formula in Hill's order: carbon, hydrogen, then alphabetical; `NaCl` becomes `ClNa`."""
    parts: list[tuple[str, str]] = _FORMULA_PART.findall(formula)
    has_carbon = any(element == "C" for element, _ in parts)
    order = sorted(parts, key=lambda part: ({"C": 0, "H": 1}.get(part[0], 2) if has_carbon else 2, part[0]))
    return "".join(element + amount for element, amount in order)


def _smallest_ratio(values: list[float]) -> list[float]:
    """Return amounts relative to the smallest, as integers if a denominator up to 12 allows it."""
    smallest = min(values)
    ratios = [Fraction(v / smallest).limit_denominator(12) for v in values]
    if all(abs(float(r) - v / smallest) < 1e-3 * v / smallest for r, v in zip(ratios, values, strict=True)):
        denominator = math.lcm(*(r.denominator for r in ratios))
        return [float(r * denominator) for r in ratios]
    return [v / smallest for v in values]


def parse_formula(text: str) -> dict[str, float] | None:
    """Return amounts by element of a formula such as `Al2 O3` or `Al2O3`, or None if it cannot be read with certainty.

    Where a formula has capitals only, it is open whether `CO` is cobalt.
    """
    found: dict[str, float] = {}
    if not re.search(r"\)\s*[\d.]", text):  # brackets that multiply nothing
        text = text.replace("(", " ").replace(")", " ")
    has_capitals_only = text.upper() == text
    for word in text.replace(",", " ").split():
        parts: list[tuple[str, str]] = _FORMULA_PART.findall(word)
        if "".join(symbol + amount for symbol, amount in parts) != word:
            return None
        if has_capitals_only and _may_have_long_symbols(word):
            return None
        for symbol, amount in parts:
            if symbol not in ELEMENTS or amount == ".":
                return None
            element = element_of(symbol)
            found[element] = found.get(element, 0.0) + float(amount or 1)
    found = {e: v for e, v in found.items() if v > 0}
    return found or None


def _may_have_long_symbols(word: str) -> bool:
    """Return whether two neighbouring capitals can be one element."""
    return any(word[i : i + 2].isalpha() and word[i : i + 2].capitalize() in ELEMENTS for i in range(len(word) - 1))


def formula_difference(amounts: dict[str, float], formula: dict[str, float]) -> tuple[float, float]:
    """Return the largest difference of an atomic fraction, and the number of formula units."""
    elements = element_amounts(amounts)
    total, stated = sum(elements.values()), sum(formula.values())
    difference = max(
        abs(elements.get(e, 0.0) / total - formula.get(e, 0.0) / stated) for e in elements.keys() | formula.keys()
    )
    return difference, total / stated
