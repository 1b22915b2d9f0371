"""The model of a scan: peaks of its structure from the native engine, on a smooth background.

Scale and background are linear and solved for; the rest are parameters of the engine, with the cell free to change as
symmetry allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.peaks import sum_peaks
from datagen.simulate.sticks import Sticks

Array = NDArray[np.float64]
BACKGROUND_TERMS = 10
"""Chebyshev polynomials, beside a term 1 / angle for scattering by air."""
LARGEST_STRAIN = 0.03


@dataclass(frozen=True)
class Free:
    """A parameter of a fit: its start, bounds, and the step in which it is of order one."""

    name: str
    start: float
    low: float
    high: float
    unit: float


PROFILE: tuple[Free, ...] = (
    Free("displacement_um", 0.0, -600.0, 600.0, 50.0),
    Free("zero_shift_deg", 0.0, -0.3, 0.3, 0.02),
    Free("U_cdeg2", 2.0, -20.0, 100.0, 5.0),
    Free("V_cdeg2", -2.0, -60.0, 20.0, 5.0),
    Free("W_cdeg2", 8.0, 0.0, 200.0, 5.0),
    Free("per_size_um", 5.0, 0.0, 200.0, 3.0),
    Free("microstrain", 1500.0, 0.0, 40_000.0, 500.0),
    Free("log_sh_over_l", float(np.log(0.01)), float(np.log(0.002)), float(np.log(0.08)), 0.5),
    Free("log_march_r", 0.0, float(np.log(0.25)), float(np.log(4.0)), 0.2),
    Free("displacement_B_A2", 0.0, -2.0, 6.0, 0.5),
    Free("alpha2_ratio", 0.5, 0.0, 0.8, 0.1),
)
"""Of the profile. A size enters by its inverse, which is zero for peaks that no size broadens."""


@dataclass(frozen=True, eq=False)
class Target:
    """A scan at even angles with weights 1 / variance."""

    instrument: Instrument
    """Its lines and angles; lines have equal weights, the fit finds their ratio."""
    intensity: Array
    sigma: Array

    @property
    def linear(self) -> Array:
        """Return the background's terms (angle, term)."""
        angle = self.instrument.two_theta_deg
        x = 2 * (angle - angle[0]) / (angle[-1] - angle[0]) - 1
        terms = np.polynomial.chebyshev.chebvander(x, BACKGROUND_TERMS - 1)
        return np.concatenate([terms, (angle[0] / angle)[:, None]], axis=1)


@dataclass(frozen=True, eq=False)
class Peaks:
    """Reflections of a structure whose cell is strained."""

    sticks: Sticks
    vectors: Array
    """(member, 3): reciprocal vectors, 1/A."""
    strains: Array
    """(strain, 3, 3): allowed by symmetry, the isotropic one first."""
    march_hkl: NDArray[np.int64]
    begun: Array
    """(3, 3): strain from the labelled cell to the one that the fit starts from."""

    def moved(self, amounts: Array, instrument: Instrument) -> Array:
        """Return the angles of the reflections, degrees, in the strained cell; NaN where they are beyond reach."""
        tensor = np.tensordot(amounts, self.strains, axes=1)
        squared = (self.vectors**2).sum(axis=1)
        change = -np.einsum("ia,ab,ib->i", self.vectors, tensor, self.vectors) / squared
        start = self.sticks.member_start
        weight = self.sticks.member_intensity
        total = np.add.reduceat(weight, start[:-1])
        mean = np.add.reduceat(weight * change, start[:-1]) / np.maximum(total, 1e-300)
        sine = np.sin(np.radians(self.sticks.two_theta_deg / 2)) * np.exp(mean)
        return np.asarray(np.degrees(2 * np.arcsin(np.minimum(sine, 0.99999))), dtype=np.float64)

    def pattern(self, values: dict[str, float], amounts: Array, instrument: Instrument) -> Array:
        """Return the sum of peaks on the angles of the instrument, for a scale of one."""
        angle = self.moved(amounts, instrument)
        wavelengths = np.array([line.wavelength_A for line in instrument.lines])[self.sticks.line]
        stol2 = (np.sin(np.radians(angle / 2)) / wavelengths) ** 2
        share = np.where(self.sticks.line == 0, 1.0, values["alpha2_ratio"])
        factor = np.exp(-2 * values["displacement_B_A2"] * stol2) * share
        per_member = np.repeat(factor, np.diff(self.sticks.member_start))
        sticks = replace(
            self.sticks,
            two_theta_deg=angle,
            intensity=self.sticks.intensity * factor,
            member_intensity=self.sticks.member_intensity * per_member,
        )
        used = instrument.model_copy(update={"sh_over_l": float(np.exp(values["log_sh_over_l"]))})
        return np.asarray(sum_peaks(sticks, used, self.augmentations(values)).intensity[0], dtype=np.float64)

    def augmentations(self, values: dict[str, float]) -> Augmentations:
        """Return the parameters as the engine takes them."""
        given: dict[str, Any] = {name: [value] for name, value in engine_values(values).items()}
        return Augmentations.of(**given, march_hkl=self.march_hkl[None])


def engine_values(values: dict[str, float]) -> dict[str, float]:
    """Return the engine's parameters of a fit's."""
    return {
        "displacement_um": values["displacement_um"],
        "zero_shift_deg": values["zero_shift_deg"],
        "U_cdeg2": values["U_cdeg2"],
        "V_cdeg2": values["V_cdeg2"],
        "W_cdeg2": values["W_cdeg2"],
        "crystallite_size_um": 1.0 / max(values["per_size_um"], 1e-3),
        "microstrain": values["microstrain"],
        "march_r": float(np.exp(values["log_march_r"])),
    }


def solve_linear(target: Target, peaks: Array, background: Array) -> tuple[float, Array, Array]:
    """Return scale, background and weighted residual of the best linear combination; the scale is not negative."""
    weight = 1.0 / target.sigma
    terms = np.concatenate([peaks[:, None], background], axis=1) * weight[:, None]
    # Columns of equal size keep the normal equations well conditioned.
    size = np.maximum(np.linalg.norm(terms, axis=0), 1e-300)
    scaled, y = terms / size, target.intensity * weight
    normal = scaled.T @ scaled + 1e-9 * np.eye(scaled.shape[1])
    found = np.linalg.solve(normal, scaled.T @ y)
    if found[0] < 0:
        found = np.concatenate([[0.0], np.linalg.lstsq(scaled[:, 1:], y, rcond=None)[0]])
    smooth = background @ (found[1:] / size[1:])
    return float(found[0] / size[0]), smooth, scaled @ found - y
