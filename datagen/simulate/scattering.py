"""How strongly each species scatters: X-ray form factors and dispersion, looked up once per (species, wavelength)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from datagen.errors import EngineError
from datagen.simulate.instrument import HC_KEV_A

Array = NDArray[np.float64]

_SPECIES = re.compile(r"([A-Z][a-z]?)(?:(\d*(?:\.\d+)?)([+-]))?")


@dataclass(frozen=True)
class Scatterer:
    """One species' X-ray scattering: f0(s) = sum a_i exp(-b_i s^2) + c with s = sin(theta)/lambda in 1/A."""

    name: str
    a: tuple[float, float, float, float]
    b: tuple[float, float, float, float]
    c: float
    f1: float
    """f', electrons, at the wavelength."""
    f2: float
    """f'', electrons, at the wavelength."""
    warning: str = ""
    """What had to be assumed: an ion that is not tabulated scatters as the neutral atom."""


@lru_cache(maxsize=4096)
def scatterer(species: str, wavelength_A: float) -> Scatterer:
    """Look up `Fe`, `Fe3+`, `O2-`, `D`. International Tables C 6.1.1.4 and Cromer-Liberman, both as gemmi has them."""
    match = _SPECIES.match(species)
    if match is None:
        raise EngineError(f"species {species!r}: expected an element with or without a charge, as Fe or Fe3+")
    element = gemmi.Element(match[1])
    z = element.atomic_number
    if not 1 <= z <= 98:
        raise EngineError(
            f"species {species!r}: X-ray form factors are tabulated from hydrogen to californium; "
            "refuse such structures in curation"
        )
    charge = float(match[2] or 1) * (1 if match[3] == "+" else -1) if match[3] else 0.0
    table, warning = element.it92, ""
    if charge and charge == int(charge):
        ion = gemmi.IT92_get_exact(element, int(charge))
        table = ion if ion is not None else table
        if ion is None:
            warning = f"{species}: no form factor for this ion, neutral {element.name} used"
    elif charge:
        warning = f"{species}: no form factors for fractional charges, neutral {element.name} used"
    f1, f2 = gemmi.cromer_liberman(z, HC_KEV_A * 1000 / wavelength_A) if z > 2 else (0.0, 0.0)
    return Scatterer(species, tuple(table.a), tuple(table.b), float(table.c), f1, f2, warning)


@dataclass(frozen=True, eq=False)
class ScatteringTable:
    """The scatterers of one crystal as arrays, and which of them each atom is."""

    coefficients: Array
    """(species, 11): a1..a4, b1..b4, c, f', f''."""
    index: NDArray[np.int64]
    """(atom,)"""
    warnings: tuple[str, ...]


def scattering_table(species: tuple[str, ...], wavelength_A: float) -> ScatteringTable:
    """The distinct scatterers of a list of atoms."""
    names = sorted(set(species))
    found = [scatterer(name, wavelength_A) for name in names]
    number = {name: i for i, name in enumerate(names)}
    return ScatteringTable(
        np.array([[*s.a, *s.b, s.c, s.f1, s.f2] for s in found], dtype=np.float64).reshape(-1, 11),
        np.array([number[name] for name in species], dtype=np.int64),
        tuple(s.warning for s in found if s.warning),
    )


def form_factors(coefficients: Array, s_squared: Array) -> Array:
    """f0 of each species at each s^2 = sin^2(theta)/lambda^2 (1/A^2), shape (species, point)."""
    a, b, c = coefficients[:, 0:4], coefficients[:, 4:8], coefficients[:, 8]
    gaussians = a[:, :, None] * np.exp(-b[:, :, None] * s_squared)
    return np.asarray(gaussians.sum(axis=1) + c[:, None], dtype=np.float64)
