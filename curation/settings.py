"""What curation is asked to do: every threshold, tolerance and policy, each with its meaning and unit."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

HC_KEV_A = 12.398419843320026
"""Planck's constant times the speed of light, keV A (exact in the SI of 2019)."""


class SplitSettings(BaseModel):
    """How groups of structures are dealt to training, validation and test."""

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
        description="site tolerances of the symmetry search, A; the space group must be the same at all of them",
    )
    angle_tolerance_deg: tuple[float, ...] = Field(
        (0.1, 5.0),
        min_length=1,
        description="angle tolerances of the symmetry search, degrees; every pair with a site tolerance is tried",
    )
    lattice_tolerance: float = Field(
        1e-3,
        gt=0,
        lt=0.1,
        description="relative tolerance for the equalities of lengths and angles that the reduced cell must show",
    )
    max_volume_A3: float = Field(100_000.0, gt=0, description="conventional cell volume must be below this, A^3")
    max_atoms: int = Field(500, ge=1, description="at most this many atomic sites in the conventional cell")
    min_distance_A: float = Field(
        0.5, ge=0, description="two atoms closer than this that cannot be alternatives of one another are refused, A"
    )
    merge_distance_A: float = Field(
        0.02,
        ge=0,
        description="positions closer than this are one site, shared by the species listed there, A",
    )
    snap_distance_A: float = Field(
        0.2,
        ge=0,
        description="up to this, images of one site too full to be split are one atom on a special position, A",
    )
    occupancy_tolerance: float = Field(
        0.05, ge=0, le=1, description="by how much the occupancies of one site may exceed 1; they are then scaled to 1"
    )
    max_formula_difference: float = Field(
        0.1,
        ge=0,
        le=1,
        description="largest difference of an atomic fraction, hydrogen left out, between the atoms listed and the "
        "formula that the CIF states; an element that the formula does not have is refused too; 1 refuses nothing",
    )
    implausible: Literal["warn", "refuse"] = Field(
        "warn",
        description="policy for contacts below half the sum of covalent radii and for volumes that the elements do "
        "not allow",
    )
    formula_tolerance: float = Field(
        0.02, ge=0, description="largest difference of an atomic fraction that does not count as a contradiction"
    )
    displacement: Literal["fixed", "cif"] = Field(
        "fixed",
        description="`fixed`: every site has u_iso_A2; `cif`: the CIF's own U or B, u_iso_A2 where it states none",
    )
    u_iso_A2: float = Field(0.01, ge=0, le=1, description="isotropic displacement of sites without their own, A^2")
    energy_keV: float = Field(20.0, gt=0, description="photon energy at which reflections are counted, keV")
    two_theta_min_deg: float = Field(5.0, ge=0, lt=180, description="start of the range for reflections, degrees")
    two_theta_max_deg: float = Field(20.0, gt=0, lt=180, description="end of the range for reflections, degrees")
    seed: int = Field(0, ge=0, description="dataset seed: another seed deals the groups to other splits")
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
        """Every (site tolerance in A, angle tolerance in degrees), tightest first: the order of a verdict's columns."""
        return tuple((s, a) for s in self.symprec_A for a in self.angle_tolerance_deg)

    @property
    def wavelength_A(self) -> float:
        """Wavelength of the photons, A."""
        return HC_KEV_A / self.energy_keV
