"""What a structure is made of: formulas and the 118 atomic fractions."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.labels import N_ELEMENTS

SYMBOLS: tuple[str, ...] = tuple(str(gemmi.Element(z).name) for z in range(1, N_ELEMENTS + 1))
"""Element symbols, hydrogen first: the element of atomic number Z stands at Z - 1."""

_Z = {s: z for z, s in enumerate(SYMBOLS, start=1)} | {"D": 1}
ELEMENTS = frozenset(_Z)
"""Every symbol that names an element, deuterium's own included."""
_SPECIES = re.compile(r"([A-Z][a-z]?)")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


def element_of(species: str) -> str:
    """`Fe3+` is `Fe`; deuterium is hydrogen."""
    found = _SPECIES.match(species)
    if found is None or found[1] not in _Z:
        raise ValueError(f"{species!r} names no element")
    return SYMBOLS[_Z[found[1]] - 1]


def atomic_number(species: str) -> int:
    """Z of a species such as `Fe3+`."""
    return _Z[element_of(species)]


def element_amounts(amounts: dict[str, float]) -> dict[str, float]:
    """Amounts by element from amounts by species, in alphabetical order, zeros left out."""
    found: dict[str, float] = {}
    for species, amount in amounts.items():
        element = element_of(species)
        found[element] = found.get(element, 0.0) + amount
    return {e: v for e, v in sorted(found.items()) if v > 0}


def atomic_fractions(amounts: dict[str, float]) -> NDArray[np.float64]:
    """Atomic fraction of each of the 118 elements, from amounts by species; hydrogen (Z = 1) at index 0."""
    vector = np.zeros(N_ELEMENTS)
    for species, amount in amounts.items():
        vector[atomic_number(species) - 1] += amount
    total = vector.sum()
    return vector / total if total > 0 else vector


def reduced_formula(amounts: dict[str, float]) -> str:
    """Smallest whole-number formula in Hill's order, `NaCl` as `ClNa`; decimals where amounts are no whole numbers."""
    elements = element_amounts(amounts)
    values = list(elements.values())
    whole = [round(v) for v in values]
    if values and all(w > 0 and abs(v - w) < 1e-3 for v, w in zip(values, whole, strict=True)):
        divisor = math.gcd(*whole)
        reduced: list[float] = [w / divisor for w in whole]
    else:
        reduced = _smallest_ratio(values)
    parts = dict(zip(elements, reduced, strict=True))
    order = sorted(parts, key=lambda e: ({"C": 0, "H": 1}.get(e, 2) if "C" in parts else 2, e))
    return "".join(e + ("" if parts[e] == 1 else f"{parts[e]:.4g}") for e in order)


def _smallest_ratio(values: list[float]) -> list[float]:
    """Amounts relative to the smallest, as whole numbers if a denominator up to 12 allows."""
    smallest = min(values)
    ratios = [Fraction(v / smallest).limit_denominator(12) for v in values]
    if all(abs(float(r) - v / smallest) < 1e-3 * v / smallest for r, v in zip(ratios, values, strict=True)):
        denominator = math.lcm(*(r.denominator for r in ratios))
        return [float(r * denominator) for r in ratios]
    return [v / smallest for v in values]


def parse_formula(text: str) -> dict[str, float] | None:
    """Amounts of a `_chemical_formula_sum` such as `Al2 O3` by element; None where it is no plain formula."""
    found: dict[str, float] = {}
    if not re.search(r"\)\s*[\d.]", text):  # brackets that multiply nothing
        text = text.replace("(", " ").replace(")", " ")
    for part in text.replace(",", " ").split():
        match = _FORMULA_PART.fullmatch(part)
        if match is None or match[1] not in ELEMENTS:
            return None
        element = element_of(match[1])
        found[element] = found.get(element, 0.0) + float(match[2] or 1)
    found = {e: v for e, v in found.items() if v > 0}
    return found or None


def formula_difference(amounts: dict[str, float], formula: dict[str, float]) -> tuple[float, float]:
    """Largest difference of an atomic fraction, and how many formula units the atoms make."""
    elements = element_amounts(amounts)
    total, stated = sum(elements.values()), sum(formula.values())
    difference = max(
        abs(elements.get(e, 0.0) / total - formula.get(e, 0.0) / stated) for e in elements.keys() | formula.keys()
    )
    return difference, total / stated
