"""Wavelengths as people write them: lengths with units, energies, anodes."""

from __future__ import annotations

import math
import re

from trainer.errors import TrainerError
from trainer.scans.scan import LONGEST_A, SHORTEST_A

SAME_LINE = 1e-3
HC_KEV_A = 12.398420
"""Energy times wavelength, keV A."""
ALPHA_A = {
    "Cu": (1.5405929, 1.5444274),
    "Mo": (0.70931715, 0.713607),
    "Co": (1.788996, 1.792835),
    "Cr": (2.289726, 2.293651),
    "Fe": (1.936041, 1.939973),
    "Ag": (0.5594218, 0.563813),
}
"""K-alpha 1 and 2 in A: Hoelzer et al., Phys. Rev. A 56 (1997) 4554; Deslattes et al., Rev. Mod. Phys. 75 (2003) 35."""
AVERAGE_A = {"cu": 1.5418, "mo": 0.7107}
"""The weighted K-alpha doublet, where people use it."""
LENGTHS_A = {
    "": 1.0,
    "a": 1.0,
    "å": 1.0,
    "ang": 1.0,
    "angstrom": 1.0,
    "angstroms": 1.0,
    "nm": 10.0,
    "pm": 0.01,
    "m": 1e10,
}
ENERGIES_KEV = {"kev": 1.0, "ev": 1e-3}
_NUMBER = re.compile(r"([-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[-+]?\d+)?)\s*([a-zå]*)", re.IGNORECASE)
_ANODE = re.compile(r"(cu|mo|co|cr|fe|ag)(k(a|alpha|α)?(1)?)?")


def parse_wavelength(text: str) -> float:
    """Return a wavelength in A from "1.5406", "0.15406 nm", "6.199e-11 m", "20 keV" or an anode such as "CuKa1"."""
    value = wavelength_A(text)
    if value is None:
        raise TrainerError(
            f"--wavelength {text}: expected a length (1.5406, 0.15406 nm, 6.199e-11 m), an energy (20 keV), or an "
            f"anode such as CuKa1; between {SHORTEST_A} and {LONGEST_A:g} A"
        )
    return value


def wavelength_A(text: str) -> float | None:
    """Return a wavelength in A, None if the text names none."""
    plain = text.strip().lower()
    anode = _ANODE.fullmatch(re.sub(r"[-_\s]", "", plain))
    if anode:
        name = anode[1]
        if anode[3] and not anode[4] and name in AVERAGE_A:
            return AVERAGE_A[name]
        return ALPHA_A[name.capitalize()][0]
    match = _NUMBER.fullmatch(plain)
    if match is None:
        return None
    value = float(match[1].replace(",", "."))
    if match[2] in LENGTHS_A:
        found = value * LENGTHS_A[match[2]]
    elif match[2] in ENERGIES_KEV and value > 0:
        found = HC_KEV_A / (value * ENERGIES_KEV[match[2]])
    else:
        return None
    return float(found) if math.isfinite(found) and SHORTEST_A < found < LONGEST_A else None


def is_of_a_tube(wavelength: float) -> bool:
    """Return whether a wavelength is the K-alpha radiation of a common anode."""
    lines = [(*pair, (2 * pair[0] + pair[1]) / 3) for pair in ALPHA_A.values()]
    return any(abs(wavelength / line - 1) < SAME_LINE for lines_of_one in lines for line in lines_of_one)
