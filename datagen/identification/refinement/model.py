"""The calculated pattern: reflections of a phase, broadened by the native engine's kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.identification.refinement.phase import Phase
from datagen.simulate import kernel
from datagen.simulate.axial import MIN_SH_OVER_L, quadrature
from datagen.simulate.profile import WIDTH_FLOOR
from datagen.simulate.sticks import lorentz_polarisation

Array = NDArray[np.float64]
RADIUS_MM = 200.0
NO_SIZE_um = 1e9
"""Broadening by size is part of X."""


@dataclass(frozen=True)
class Parameter:
    """A refined number: its start, its limits and the step of its derivative."""

    name: str
    unit: str
    start: float
    low: float
    high: float
    step: float


PROFILE = (
    Parameter("zero_deg", "deg", 0.0, -0.5, 0.5, 1e-3),
    Parameter("displacement_um", "um", 0.0, -1000.0, 1000.0, 2.0),
    Parameter("axial_deg", "deg", 0.0, -0.2, 0.2, 5e-4),
    Parameter("U_cdeg2", "cdeg2", 2.0, 0.0, 1000.0, 0.2),
    Parameter("V_cdeg2", "cdeg2", 0.0, -1000.0, 100.0, 0.2),
    Parameter("W_cdeg2", "cdeg2", 5.0, 0.02, 3000.0, 0.05),
    Parameter("X_cdeg", "cdeg", 2.0, 0.0, 200.0, 0.02),
    Parameter("Y_cdeg", "cdeg", 1.0, 0.0, 500.0, 0.02),
    Parameter("sh_over_l", "", 0.01, MIN_SH_OVER_L, 0.1, 5e-4),
    Parameter("B_A2", "A2", 0.0, -3.0, 10.0, 0.02),
    Parameter("march_r", "", 1.0, 0.2, 5.0, 5e-3),
)
"""B is a change of all displacement factors; `axial_deg` shifts peaks by -axial_deg cot(2theta), as axial divergence
does beyond what the model's S = H describes."""
STRAIN_STEP, MOST_STRAIN = 2e-5, 0.05


def parameters_of(phase: Phase) -> tuple[Parameter, ...]:
    """Return the parameters of a refinement, the cell's strains first."""
    cell = (
        Parameter(f"strain_{k}", "", 0.0, -MOST_STRAIN, MOST_STRAIN, STRAIN_STEP) for k in range(len(phase.strains))
    )
    return (*cell, *PROFILE)


@dataclass(frozen=True, eq=False)
class Measurement:
    """A scan on its own angles, and what its diffractometer is."""

    two_theta_deg: Array
    intensity: Array
    sigma: Array
    wavelengths_A: tuple[float, ...]
    weights: tuple[float, ...]
    """Shares of the lines."""
    polarisation: float
    radius_mm: float = RADIUS_MM
    """Of the goniometer: a displaced sample shifts peaks by twice its displacement over the radius."""

    @property
    def step_deg(self) -> float:
        """Step of the grid on which patterns are calculated."""
        return float(self.two_theta_deg[-1] - self.two_theta_deg[0]) / (self.n_points - 1)

    @property
    def n_points(self) -> int:
        """Points of the grid: as many as even steps of the median length take."""
        span = self.two_theta_deg[-1] - self.two_theta_deg[0]
        return round(float(span / np.median(np.diff(self.two_theta_deg)))) + 1

    @property
    def q_range(self) -> tuple[float, float]:
        """Return the range of 1/d, 1/A, over all lines."""
        sine = np.sin(np.radians(self.two_theta_deg[[0, -1]] / 2))
        return 2 * float(sine[0]) / max(self.wavelengths_A), 2 * float(sine[1]) / min(self.wavelengths_A)


@dataclass(frozen=True, eq=False)
class Model:
    """Patterns of one phase for one measurement."""

    phase: Phase
    measurement: Measurement
    amplitude: Array | None = None
    """Intensities of the groups instead of the structure's (Le Bail)."""
    texture_axis: Array | None = None

    def peaks(self, values: dict[str, float]) -> tuple[Array, Array, Array, NDArray[np.int64]]:
        """Return angles in degrees, areas, wavelengths and groups of all peaks, by angle."""
        m = self.measurement
        q = self.phase.q(strain_of(values, self.phase))
        amplitude = self.amplitude if self.amplitude is not None else self._amplitude(values)
        amplitude = amplitude * np.exp(-0.5 * values["B_A2"] * q**2)
        found = []
        for wavelength, weight in zip(m.wavelengths_A, m.weights, strict=True):
            sine = 0.5 * wavelength * q
            seen = sine < 0.9999
            angle = 2 * np.arcsin(sine[seen])
            area = weight * amplitude[seen] * lorentz_polarisation(angle, m.polarisation)
            found.append((np.degrees(angle), area, np.full(len(area), wavelength), np.flatnonzero(seen)))
        angle, area, wavelengths, group = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(angle, kind="stable")
        return angle[order], area[order], wavelengths[order], group[order]

    def pattern(self, values: dict[str, float]) -> Array:
        """Return the calculated pattern of scale 1, without background, on the scan's angles."""
        m = self.measurement
        angle, area, wavelengths, _ = self.peaks(values)
        highest = float(area.max(initial=1e-30))
        widths = [values[name] for name in ("U_cdeg2", "V_cdeg2", "W_cdeg2")]
        widths += [NO_SIZE_um, 0.0, values["X_cdeg"], values["Y_cdeg"]]
        out, n = np.empty((1, m.n_points), np.float32), np.empty(1, np.float32)
        kernel.broaden(
            angle,
            wavelengths,
            (area / highest)[None],
            self._shift(angle, values)[None],
            np.ones((1, len(angle))),
            np.array([widths]),
            WIDTH_FLOOR,
            max(values["sh_over_l"], MIN_SH_OVER_L),
            float(m.two_theta_deg[0]),
            m.step_deg,
            quadrature(),
            kernel.basis(m.n_points),
            out,
            n,
            n.copy(),
            np.empty(1, np.int32),
        )
        grid = float(m.two_theta_deg[0]) + m.step_deg * np.arange(m.n_points)
        return np.asarray(np.interp(m.two_theta_deg, grid, out[0].astype(np.float64)) * highest, dtype=np.float64)

    def _amplitude(self, values: dict[str, float]) -> Array:
        if self.texture_axis is None:
            return self.phase.amplitude
        return self.phase.textured(values["march_r"], self.texture_axis)

    def _shift(self, angle_deg: Array, values: dict[str, float]) -> Array:
        """Return the shift of peaks, degrees: the zero, and a sample off the axis (Bragg-Brentano)."""
        off = -2 * values["displacement_um"] * 1e-3 / self.measurement.radius_mm
        axial = values["axial_deg"] / np.tan(np.radians(angle_deg))
        return values["zero_deg"] - axial + np.degrees(off * np.cos(np.radians(angle_deg / 2)))


def strain_of(values: dict[str, float], phase: Phase) -> Array:
    """Return the amounts of the free strains."""
    return np.array([values[f"strain_{k}"] for k in range(len(phase.strains))])
