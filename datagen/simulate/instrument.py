"""The diffractometer: emission lines, polarisation, axial divergence and grid of 2theta."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Line(BaseModel):
    """An emission line: wavelength and share of the intensity."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    wavelength_A: float = Field(gt=0.05, lt=10.0)
    """Wavelength."""
    weight: float = Field(default=1.0, gt=0.0)
    """Share of the intensity, relative to the other lines."""


class Instrument(BaseModel):
    """The measurement, as far as it is the same for all patterns of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    lines: tuple[Line, ...] = Field(min_length=1)
    """K-alpha 1 first. A pattern is the sum over lines; weights need not add up to one."""
    polarisation: float = Field(ge=0.0, le=1.0)
    """Fraction P in (1 - P) cos^2(2theta) + P: 0.99 at a synchrotron, 0.5 for an unpolarised tube."""
    sh_over_l: float = Field(default=0.002, ge=0.0, le=0.5)
    """Axial divergence (S + H)/L; values below 0.002 act as 0.002, as in GSAS-II."""
    two_theta_min_deg: float = Field(gt=0.0, lt=180.0)
    """First point of the grid."""
    two_theta_max_deg: float = Field(gt=0.0, lt=180.0)
    """Last point of the grid."""
    n_points: int = Field(ge=2, le=1_000_000)
    """Equally spaced points, both ends included."""
    geometry: Literal["transmission", "reflection"] = "transmission"
    """Direction in which a sample is displaced: `transmission`, along the beam (Debye-Scherrer), or `reflection`, off
    the circle (Bragg-Brentano)."""
    goniometer_radius_mm: float = Field(default=200.0, gt=0.0)
    """Distance from sample to detector; a displaced sample moves peaks in proportion to displacement / radius."""

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Instrument:
        if self.two_theta_max_deg <= self.two_theta_min_deg:
            raise ValueError(
                f"two_theta_max_deg: expected more than two_theta_min_deg = {self.two_theta_min_deg}, "
                f"found {self.two_theta_max_deg}"
            )
        return self

    @classmethod
    def preset(cls, name: str) -> Instrument:
        """Return one of `PRESETS` by name."""
        if name not in PRESETS:
            raise ValueError(f"instrument preset: expected one of {', '.join(PRESETS)}, found {name!r}")
        return PRESETS[name]

    @property
    def two_theta_deg(self) -> NDArray[np.float64]:
        """Return the grid, degrees."""
        return np.linspace(self.two_theta_min_deg, self.two_theta_max_deg, self.n_points)

    @property
    def d_min_A(self) -> float:
        """Return the smallest distance of lattice planes whose reflection is in the range."""
        shortest = min(line.wavelength_A for line in self.lines)
        return shortest / (2 * math.sin(math.radians(self.two_theta_max_deg / 2)))

    @property
    def step_deg(self) -> float:
        """Return the distance between neighbouring points, degrees."""
        return (self.two_theta_max_deg - self.two_theta_min_deg) / (self.n_points - 1)


PRESETS: dict[str, Instrument] = {
    # AlphaDiffract (2026): 20 keV, synchrotron polarisation, 5 to 20 degrees.
    "alphadiffract": Instrument(
        lines=(Line(wavelength_A=0.619921),),
        polarisation=0.99,
        two_theta_min_deg=5.0,
        two_theta_max_deg=20.0,
        n_points=8192,
    ),
    # Wavelengths: Hoelzer et al., Phys. Rev. A 56 (1997) 4554; for Mo, Deslattes et al., Rev. Mod. Phys. 75 (2003) 35.
    "cu_kalpha1": Instrument(
        lines=(Line(wavelength_A=1.5405929),),
        polarisation=0.5,
        two_theta_min_deg=10.0,
        two_theta_max_deg=90.0,
        n_points=8192,
        geometry="reflection",
    ),
    "cu_kalpha": Instrument(
        lines=(Line(wavelength_A=1.5405929, weight=2 / 3), Line(wavelength_A=1.5444274, weight=1 / 3)),
        polarisation=0.5,
        two_theta_min_deg=10.0,
        two_theta_max_deg=90.0,
        n_points=8192,
        geometry="reflection",
    ),
    "mo_kalpha": Instrument(
        lines=(Line(wavelength_A=0.70931715, weight=2 / 3), Line(wavelength_A=0.7136070, weight=1 / 3)),
        polarisation=0.5,
        two_theta_min_deg=5.0,
        two_theta_max_deg=45.0,
        n_points=8192,
    ),
}
