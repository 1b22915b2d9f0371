"""Settings of curation: thresholds, tolerances and policies."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

HC_KEV_A = 12.398419843320026
"""Planck's constant times the speed of light, keV A (exact in the SI of 2019)."""


class SplitSettings(BaseModel):
    """Fractions of groups for training, validation and test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(default=0.8, ge=0, le=1, description="fraction of groups for training")
    validation: float = Field(0.1, ge=0, le=1, description="fraction of groups for validation")
    test: float = Field(0.1, ge=0, le=1, description="fraction of groups for testing")

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> SplitSettings:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class CurationSettings(BaseModel):
    """Everything that decides a verdict; the defaults are AlphaDiffract's screens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symprec_A: tuple[float, ...] = Field(
        (0.01, 0.1),
        min_length=1,
        description="site tolerances of the symmetry search, A; the space group must be the same at all",
    )
    angle_tolerance_deg: tuple[float, ...] = Field(
        (0.1, 5.0),
        min_length=1,
        description="angle tolerances of the symmetry search, degrees; combined with every site tolerance",
    )
    lattice_tolerance: float = Field(
        1e-3,
        gt=0,
        lt=0.1,
        description="relative tolerance of the lattice's equalities of lengths and angles in the reduced cell",
    )
    max_volume_A3: float = Field(
        100_000.0, gt=0, description="upper limit (exclusive) of the volume of the conventional cell, A^3"
    )
    max_atoms: int = Field(500, ge=1, description="largest number of atomic sites in the conventional cell")
    min_distance_A: float = Field(
        0.5, ge=0, description="smallest distance between two atoms that are not alternatives, A"
    )
    merge_distance_A: float = Field(
        0.02,
        ge=0,
        description="distance below which positions are one site, shared by its species, A",
    )
    snap_distance_A: float = Field(
        0.2,
        ge=0,
        description="distance up to which images of a site with occupancy over 1/2 are one special position, A",
    )
    occupancy_tolerance: float = Field(
        0.05, ge=0, le=1, description="largest excess of a site's occupancies over 1; they are scaled to 1"
    )
    max_formula_difference: float = Field(
        0.1,
        ge=0,
        le=1,
        description="largest difference of an atomic fraction, hydrogen left out, between the atoms listed and the "
        "formula that the CIF states; an element that is not in the formula is refused too; 1 disables the check",
    )
    implausible: Literal["warn", "refuse"] = Field(
        "warn",
        description="policy for contacts below half the sum of covalent radii and for implausible volumes",
    )
    formula_tolerance: float = Field(
        0.02, ge=0, description="largest difference of an atomic fraction without a warning"
    )
    displacement: Literal["fixed", "cif"] = Field(
        "fixed",
        description="`fixed`: every site has u_iso_A2; `cif`: the CIF's own U or B, u_iso_A2 where it states none",
    )
    u_iso_A2: float = Field(0.01, ge=0, le=1, description="isotropic displacement of sites without their own, A^2")
    energy_keV: float = Field(20.0, gt=0, description="photon energy at which reflections are counted, keV")
    two_theta_min_deg: float = Field(5.0, ge=0, lt=180, description="start of the range for reflections, degrees")
    two_theta_max_deg: float = Field(20.0, gt=0, lt=180, description="end of the range for reflections, degrees")
    seed: int = Field(0, ge=0, description="seed of the splits")
    split: SplitSettings = Field(
        SplitSettings(train=0.8, validation=0.1, test=0.1), description="fractions of the three splits"
    )

    @field_validator("symprec_A", "angle_tolerance_deg")
    @classmethod
    def _positive_and_distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(not (math.isfinite(v) and v > 0) for v in values):
            raise ValueError(f"every tolerance must be a number > 0, found {list(values)}")
        if len(set(values)) != len(values):
            raise ValueError(f"a tolerance is listed twice: {list(values)}")
        return tuple(sorted(values))

    @model_validator(mode="after")
    def _range_is_a_range(self) -> CurationSettings:
        if self.two_theta_min_deg >= self.two_theta_max_deg:
            raise ValueError(
                f"two_theta_min_deg ({self.two_theta_min_deg:g}) must be below "
                f"two_theta_max_deg ({self.two_theta_max_deg:g})"
            )
        return self

    @property
    def tolerance_pairs(self) -> tuple[tuple[float, float], ...]:
        """Pairs of site tolerance in A and angle tolerance in degrees, in the order of a verdict's columns."""
        return tuple((s, a) for s in self.symprec_A for a in self.angle_tolerance_deg)

    @property
    def wavelength_A(self) -> float:
        """Wavelength of the photons, A."""
        return HC_KEV_A / self.energy_keV
