"""Scans brought to an instrument: its wavelength, its grid of angles, its polarisation; and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.scans.scan import Array, Scan, ScanError
from trainer.scans.wavelength import is_of_a_tube
from trainer.simulate.resample import LARGEST_GAP_DEG, average_onto, bragg, covered

__all__ = [
    "Brought",
    "Grid",
    "bring",
    "covered",
    "missing_range",
    "polarisation",
    "polarisation_of_tube",
    "polarisation_ratio",
    "snip",
    "uncovered",
]
MONOCHROMATOR_D_A = 3.3
"""Spacing of the crystals of monochromators: graphite (002) 3.35 A, germanium (111) 3.27 A."""


@dataclass(frozen=True)
class Grid:
    """Angles and radiation of an instrument."""

    start_deg: float
    stop_deg: float
    n_points: int
    wavelength_A: float
    polarisation: float = 0.5
    """P in (1 - P) cos^2(2theta) + P: 0.5 for a tube, near 1 at a synchrotron."""

    @property
    def step_deg(self) -> float:
        """Step of the angles."""
        return (self.stop_deg - self.start_deg) / (self.n_points - 1)

    @property
    def two_theta_deg(self) -> Array:
        """The angles."""
        return np.linspace(self.start_deg, self.stop_deg, self.n_points)


@dataclass(frozen=True, eq=False)
class Brought:
    """A scan at the angles of an instrument; intensities that were not measured are 0."""

    intensity: Array
    sigma: Array
    measured: NDArray[np.bool_]


def bring(scan: Scan, grid: Grid, wavelength_A: float | None = None, *, polarise: bool = True) -> Brought:
    """Bring a scan to an instrument; ``wavelength_A`` replaces the wavelength that the file states.

    A point moves to the angle at which the instrument's wavelength meets the same spacing. Its intensity keeps its
    value but for polarisation: the Lorentz factor 1 / (sin^2(theta) cos(theta)) changes with the angle as the widths
    of peaks do, so that areas come out right but for one constant.
    """
    used = scan.wavelength_A if wavelength_A is None else wavelength_A
    if used is None:
        raise ScanError("the scan states no wavelength; give one")
    angle = bragg(scan.two_theta_deg, used, grid.wavelength_A)
    reached = np.isfinite(angle)
    if not reached.any():
        raise ScanError(f"no angle of the scan is within reach of {grid.wavelength_A:g} A")
    factor = np.ones_like(angle)
    if polarise:
        factor = polarisation_ratio(scan, used, grid.wavelength_A, grid.polarisation)
    x, at, sigma = angle[reached], grid.two_theta_deg, (scan.uncertainty * factor)[reached]
    intensity, points = average_onto(at, x, (scan.intensity * factor)[reached])
    variance, _ = average_onto(at, x, sigma**2)
    measured = covered(at, x, max(LARGEST_GAP_DEG, 2 * grid.step_deg))
    # The noise of points within a step averages out; where there is less than one it stays as it is.
    spread = np.sqrt(np.maximum(variance, 0.0) / np.maximum(points, 1.0))
    return Brought(np.where(measured, intensity, 0.0), np.where(measured, spread, 0.0), measured)


def polarisation_ratio(scan: Scan, wavelength_A: float, to_wavelength_A: float, polarised: float) -> Array:
    """Return the polarisation factor of an instrument over that of the scan, at each point; NaN beyond its reach.

    A scan at the wavelength of a tube is taken for unpolarised, any other for that of a synchrotron.
    """
    tube = scan.radiation.anode is not None or is_of_a_tube(wavelength_A)
    at_scan = polarisation_of_tube(scan.two_theta_deg, wavelength_A, scan.radiation.monochromator) if tube else 1.0
    return np.asarray(polarisation(bragg(scan.two_theta_deg, wavelength_A, to_wavelength_A), polarised) / at_scan)


def polarisation(two_theta_deg: Array, polarised: float) -> Array:
    """Return the polarisation factor (1 - P) cos^2(2theta) + P, without a constant."""
    return np.asarray((1 - polarised) * np.cos(np.radians(two_theta_deg)) ** 2 + polarised, dtype=np.float64)


def polarisation_of_tube(two_theta_deg: Array, wavelength_A: float, monochromator: str | None) -> Array:
    """Return the polarisation factor of an unpolarised tube, with a crystal monochromator in either beam or none."""
    angle = 2 * np.arcsin(min(1.0, wavelength_A / 2 / MONOCHROMATOR_D_A)) if monochromator else 0.0
    crystal = float(np.cos(angle)) ** 2
    return np.asarray((1 + crystal * np.cos(np.radians(two_theta_deg)) ** 2) / (1 + crystal), dtype=np.float64)


def snip(intensity: Array, half_width: int) -> Array:
    """Return the smooth background by statistics-sensitive clipping of peaks narrower than 2 ``half_width`` points.

    Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396: on log(log(sqrt)) intensities, each point is lowered to the
    mean of the two that lie w away, w shrinking.
    """
    lowest = min(0.0, float(intensity.min()))
    v = np.log(np.log(np.sqrt(intensity - lowest + 1) + 1) + 1)
    for w in range(min(half_width, (len(v) - 1) // 2), 0, -1):
        v[w:-w] = np.minimum(v[w:-w], (v[2 * w :] + v[: -2 * w]) / 2)
    return np.asarray((np.exp(np.exp(v) - 1) - 1) ** 2 - 1 + lowest, dtype=np.float64)


def uncovered(scan: Scan, grid: Grid, wavelength_A: float) -> tuple[float, float] | None:
    """Return the first stretch of an instrument's angles that a scan leaves out, None if it covers them."""
    x = bragg(scan.two_theta_deg, wavelength_A, grid.wavelength_A)
    return missing_range(x[np.isfinite(x)], grid.start_deg, grid.stop_deg, max(LARGEST_GAP_DEG, 2 * grid.step_deg))


def missing_range(x: Array, start_deg: float, stop_deg: float, allowed_deg: float) -> tuple[float, float] | None:
    """Return the first stretch of a range that rising angles leave out, None if they cover it."""
    if len(x) == 0 or x[0] > stop_deg or x[-1] < start_deg:
        return start_deg, stop_deg
    if x[0] > start_deg + allowed_deg:
        return start_deg, float(x[0])
    if x[-1] < stop_deg - allowed_deg:
        return float(x[-1]), stop_deg
    wide = np.flatnonzero((np.diff(x) > allowed_deg) & (x[1:] > start_deg) & (x[:-1] < stop_deg))
    return (float(x[wide[0]]), float(x[wide[0] + 1])) if len(wide) else None
