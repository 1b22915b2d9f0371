"""Densities of records: read, checked, resampled, or refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from catalogs.record import DensityRef
from curation.composition import atomic_number, element_amounts
from curation.crystal import Crystal
from datagen.simulate.density.grid import DensityGrid
from datagen.simulate.density.independent_atoms import independent_atom_density
from datagen.simulate.density.read import read_density
from datagen.simulate.density.resample import resample
from datagen.store.density_codes import CODES, DensityRefused


class DensitySettings(BaseModel):
    """Origin of densities and the checks that they must pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["fourier", "crystalnet", "independent_atoms"] = "fourier"
    """`fourier`: exact resampling of the source's density. `crystalnet`: CrystalNet's rule, to reproduce its numbers.
    `independent_atoms`: free atoms from form factors, without a source; recorded in the dataset."""
    electron_tolerance: float = Field(default=0.005, ge=0)
    """Largest relative change of the electron count by resampling."""
    volume_tolerance: float = Field(default=0.05, ge=0)
    """Largest relative difference of volume per atom between density and structure."""
    max_negative: float = Field(default=0.05, ge=0)
    """Largest share of negative values, as pseudised cores leave, in the sum of absolute values."""
    max_megabytes: int = Field(default=2048, ge=1)
    """Largest size of a file, unpacked."""


@dataclass(frozen=True, eq=False)
class Density:
    """An accepted density, in the frame of its source."""

    values: NDArray[np.float32]
    """(50, 50, 50), e/A^3, axes along the cell vectors."""
    electrons_before: float
    electrons_after: float
    lattice_A: NDArray[np.float64]

    def variables(self) -> dict[str, NDArray[Any]]:
        """Return the arrays for `ShardWriter.add`."""
        return {
            "density": self.values,
            "density_electrons": np.array([self.electrons_before, self.electrons_after]),
            "density_lattice": self.lattice_A,
            "density_reason": np.asarray(CODES["accepted"], dtype=np.uint8),
        }


def make_density(ref: DensityRef | None, crystal: Crystal, settings: DensitySettings) -> Density:
    """Return the density of a structure, checked and resampled; raise `DensityRefused` if there is none."""
    if settings.method == "independent_atoms":
        values = independent_atom_density(crystal)
        electrons = sum(crystal.occupancy.tolist()[i] * atomic_number(s) for i, s in enumerate(crystal.species))
        return _accepted(values, electrons, crystal.lattice_A, crystal.volume_A3, settings)
    if ref is None:
        raise DensityRefused("none_given", "the source names no density")
    grid = read_density(ref, max_bytes=settings.max_megabytes << 20)
    check(grid, crystal, settings)
    return _accepted(resample(grid, settings.method), grid.electrons, grid.lattice_A, grid.volume_A3, settings)


def refusal_variables(refused: DensityRefused) -> dict[str, NDArray[Any]]:
    """Return what the store keeps instead of a refused density: the reason."""
    return {"density_reason": np.asarray(CODES[refused.code], dtype=np.uint8)}


def check(grid: DensityGrid, crystal: Crystal, settings: DensitySettings) -> None:
    """Refuse a density that cannot be that of the structure: by atoms, volume per atom, electrons or sign."""
    _check_composition(grid, crystal)
    atoms = float(crystal.occupancy.sum())
    ratio = (grid.volume_A3 / grid.n_atoms) / (crystal.volume_A3 / atoms)
    if abs(ratio - 1) > settings.volume_tolerance:
        raise DensityRefused(
            "wrong_volume",
            f"{grid.volume_A3 / grid.n_atoms:.3f} A^3 an atom in the density, "
            f"{crystal.volume_A3 / atoms:.3f} in the structure; tolerance {settings.volume_tolerance:g}",
        )
    charge = sum(o * atomic_number(s) for o, s in zip(crystal.occupancy.tolist(), crystal.species, strict=True))
    most = charge / atoms * grid.n_atoms
    if not 0.0 < grid.electrons <= most * 1.05 + 0.5:
        raise DensityRefused("impossible_electrons", f"{grid.electrons:.4f} electrons in a cell of {most:.4g} protons")
    negative = -float(grid.values[grid.values < 0].sum()) / float(np.abs(grid.values).sum())
    if negative > settings.max_negative:
        raise DensityRefused(
            "negative", f"{negative:.3g} of the density is negative; at most {settings.max_negative:g}"
        )


def _check_composition(grid: DensityGrid, crystal: Crystal) -> None:
    """Check that ratios of elements are equal, in any order if the file names none (VASP 4)."""
    species: dict[str, float] = {}
    for name, occupancy in zip(crystal.species, crystal.occupancy.tolist(), strict=True):
        species[name] = species.get(name, 0.0) + occupancy
    expected = element_amounts(species)
    found: dict[str, float] = {}
    named = all(name for name, _ in grid.amounts)
    for number, (name, count) in enumerate(grid.amounts):
        key = name if named else str(number)
        found[key] = found.get(key, 0.0) + count
    ratio = grid.n_atoms / sum(expected.values())
    scaled = {element: amount * ratio for element, amount in expected.items()}
    if named:
        same = scaled.keys() == found.keys() and all(abs(scaled[e] - found[e]) < 1e-3 for e in found)
    else:
        pairs = zip(sorted(scaled.values()), sorted(found.values()), strict=False)
        same = len(scaled) == len(found) and all(abs(a - b) < 1e-3 for a, b in pairs)
    if not same:
        shown = " ".join(f"{name or '?'}{count}" for name, count in grid.amounts)
        raise DensityRefused("wrong_composition", f"density of {shown}, structure of {_formula(expected)}")


def _formula(amounts: dict[str, float]) -> str:
    return " ".join(f"{element}{amount:g}" for element, amount in amounts.items())


def _accepted(
    values: NDArray[np.float64],
    before: float,
    lattice_A: NDArray[np.float64],
    volume_A3: float,
    settings: DensitySettings,
) -> Density:
    stored = values.astype(np.float32)
    after = float(stored.mean(dtype=np.float64)) * volume_A3
    change = abs(after - before) / before
    if not change <= settings.electron_tolerance:
        raise DensityRefused(
            "electrons_changed",
            f"{before:.6g} electrons before, {after:.6g} after: a change of {change:.2e}, tolerance "
            f"{settings.electron_tolerance:g}",
        )
    return Density(stored, before, after, lattice_A)
