"""X-ray form factors and dispersion of each species, looked up once per (species, wavelength)."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from curation.reflections import f_squared
from datagen.simulate.refusal import NoFormFactor

Array = NDArray[np.float64]

_SPECIES = re.compile(r"([A-Z][a-z]?)(?:(\d*(?:\.\d+)?)([+-]))?")
_LAST_TABULATED = 98
_LAST_WITH_DISPERSION = 92
GSAS2_HC_EV_A = 12397.639
"""The h c with which GSAS-II looks up dispersion, 0.6e-4 below the SI value: 0.619921 A, nominally 20 keV, becomes
19.9987 keV, below the K edge of molybdenum (19.9995 keV) instead of above. Used here too, so that patterns agree."""
_HIGH_ENERGY_EV = 1e8
_ELECTRON_MASS_EV = 510_998.95
_GEMMI_SETTING = threading.Lock()


@dataclass(frozen=True)
class Scatterer:
    """One species' X-ray scattering: f0(s) = sum a_i exp(-b_i s^2) + c with s = sin(theta)/lambda in 1/A."""

    name: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    c: float
    f1: float
    """f', electrons, at the wavelength."""
    f2: float
    """f'', electrons, at the wavelength."""
    warning: str = ""
    """Assumptions made, empty if none."""


@dataclass(frozen=True, eq=False)
class ScatteringTable:
    """The scatterers of one crystal as arrays, and the index of each atom's scatterer."""

    a: Array
    """(species, 4)"""
    b: Array
    """(species, 4), A^2"""
    c: Array
    f1: Array
    f2: Array
    index: NDArray[np.int64]
    """(atom,): row of the scatterer in the arrays above."""
    warnings: tuple[str, ...]

    def f0(self, s_squared: Array) -> Array:
        """Return form factors (species, point) at s^2 = sin^2(theta)/lambda^2, 1/A^2."""
        gaussians = self.a[:, :, None] * np.exp(-self.b[:, :, None] * s_squared)
        return np.asarray(gaussians.sum(axis=1) + self.c[:, None], dtype=np.float64)


@lru_cache(maxsize=4096)
def scatterer(species: str, wavelength_A: float) -> Scatterer:
    """Return the scatterer of a species such as `Fe`, `Fe3+`, `O2-` or `D`.

    Form factors are those of International Tables C 6.1.1.4, dispersion that of Cromer and Liberman, from gemmi. An
    ion that is not tabulated scatters as the neutral atom, deuterium as hydrogen.
    """
    match = _SPECIES.match(species)
    element = gemmi.Element(match[1] if match else "X")
    z = element.atomic_number
    if match is None or not 1 <= z <= _LAST_TABULATED:
        raise NoFormFactor(f"species {species!r}: X-ray form factors are tabulated for hydrogen to californium")
    charge = float(match[2] or 1) * (1 if match[3] == "+" else -1) if match[3] else 0.0
    table, warnings = element.it92, []
    if charge:
        ion = _ion(element, int(charge)) if charge.is_integer() else None
        if ion is None:
            warnings.append(f"{species}: no form factor for this ion, neutral {element.name} used")
        else:
            table = ion
    if z > _LAST_WITH_DISPERSION:
        warnings.append(f"{species}: no dispersion tabulated, f' = f'' = 0 used")
    f1, f2 = dispersion(z, wavelength_A)
    return Scatterer(species, tuple(table.a), tuple(table.b), float(table.c), f1, f2, "; ".join(warnings))


def dispersion(z: int, wavelength_A: float) -> tuple[float, float]:
    """Return f' and f'' of an element, electrons, by Cromer and Liberman's method with GSAS-II's limit of f'.

    At high energy f' tends to -E/mc^2, E the binding energy of all electrons, which GSAS-II takes at full value; gemmi
    takes the smaller one of Kissel and Pratt (Acta Cryst. A46 (1990) 170), 0.003 electrons apart for iron, 0.13 for
    lead, whatever the wavelength. E = 14.4381 Z^2.39 + 1.55468e-6 Z^5.35 eV (Lunney, Pearson & Thibault, Rev. Mod.
    Phys. 75 (2003) 1021) gives GSAS-II's f' to 0.002 electrons.
    """
    if z > _LAST_WITH_DISPERSION:
        return 0.0, 0.0
    f1, f2 = gemmi.cromer_liberman(z, GSAS2_HC_EV_A / wavelength_A)
    if z > 2:
        limit, _ = gemmi.cromer_liberman(z, _HIGH_ENERGY_EV)
        f1 -= limit + (14.4381 * z**2.39 + 1.55468e-6 * z**5.35) / _ELECTRON_MASS_EV
    return float(f1), float(f2)


def scattering_table(species: tuple[str, ...], wavelength_A: float) -> ScatteringTable:
    """Return the distinct scatterers of a list of atoms."""
    names = sorted(set(species))
    found = [scatterer(name, wavelength_A) for name in names]
    number = {name: i for i, name in enumerate(names)}
    return ScatteringTable(
        np.array([s.a for s in found]),
        np.array([s.b for s in found]),
        np.array([s.c for s in found]),
        np.array([s.f1 for s in found]),
        np.array([s.f2 for s in found]),
        np.array([number[name] for name in species], dtype=np.int64),
        tuple(s.warning for s in found if s.warning),
    )


def _ion(element: gemmi.Element, charge: int) -> gemmi.IT92Coef | None:
    """Return the tabulated ion or None. gemmi looks up ions only with a global setting, which is restored."""
    with _GEMMI_SETTING:
        before = gemmi.IT92_get_ignore_charge()
        gemmi.IT92_set_ignore_charge(False)
        try:
            return gemmi.IT92_get_exact(element, charge)
        finally:
            gemmi.IT92_set_ignore_charge(before)


def squared_amplitudes(
    crystal: Crystal, hkl: NDArray[np.int32], q2: NDArray[np.float64], table: ScatteringTable
) -> NDArray[np.float64]:
    """Return |F|^2 of reflections hkl at squares of 1/d, with the table of the crystal's species at a wavelength."""
    return f_squared(
        hkl,
        q2,
        crystal.fractional,
        crystal.occupancy,
        crystal.u_iso_A2,
        table.f0(0.25 * q2) + table.f1[:, None],
        table.f2,
        table.index,
    )
