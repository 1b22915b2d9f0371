"""Scans brought to an instrument: its wavelength, its grid of angles, its polarisation; and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.scans.scan import Array, Scan, ScanError
from trainer.scans.wavelength import is_of_a_tube

LARGEST_GAP_DEG = 0.1
"""Distance of neighbouring points up to which the angles between them count as measured."""
GAP_STEPS = 2.5
"""The same in steps of a coarse scan."""
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
    """Bring a scan to an instrument; ``wavelength_A`` stands in for the wavelength that the file states.

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
        tube = scan.radiation.anode is not None or is_of_a_tube(used)
        at_scan = polarisation_of_tube(scan.two_theta_deg, used, scan.radiation.monochromator) if tube else 1.0
        factor = polarisation(angle, grid.polarisation) / at_scan
    return average_onto(
        grid.two_theta_deg,
        angle[reached],
        (scan.intensity * factor)[reached],
        (scan.uncertainty * factor)[reached],
        max(LARGEST_GAP_DEG, 2 * grid.step_deg),
    )


def bragg(two_theta_deg: Array, wavelength_A: float, to_wavelength_A: float) -> Array:
    """Return the angles at another wavelength, by sin(theta') = sin(theta) lambda' / lambda; NaN beyond its reach."""
    sine = np.sin(np.radians(np.asarray(two_theta_deg, dtype=np.float64) / 2)) * to_wavelength_A / wavelength_A
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * np.degrees(np.arcsin(np.where(np.abs(sine) < 1, sine, np.nan))))


def polarisation(two_theta_deg: Array, polarised: float) -> Array:
    """Return the polarisation factor (1 - P) cos^2(2theta) + P, without a constant."""
    return np.asarray((1 - polarised) * np.cos(np.radians(two_theta_deg)) ** 2 + polarised, dtype=np.float64)


def polarisation_of_tube(two_theta_deg: Array, wavelength_A: float, monochromator: str | None) -> Array:
    """Return the polarisation factor of an unpolarised tube, with a crystal monochromator in either beam or none."""
    angle = 2 * np.arcsin(min(1.0, wavelength_A / 2 / MONOCHROMATOR_D_A)) if monochromator else 0.0
    crystal = float(np.cos(angle)) ** 2
    return np.asarray((1 + crystal * np.cos(np.radians(two_theta_deg)) ** 2) / (1 + crystal), dtype=np.float64)


def average_onto(
    grid_deg: Array, x: Array, intensity: Array, sigma: Array, largest_gap_deg: float = LARGEST_GAP_DEG
) -> Brought:
    """Average a scan over the steps of a grid; between its points a scan is a straight line.

    Where the scan is finer than the grid, every point counts; where it is coarser, this is interpolation. The grid
    and ``x`` rise.
    """
    middle = 0.5 * (grid_deg[1:] + grid_deg[:-1])
    edges = np.concatenate([[2 * grid_deg[0] - middle[0]], middle, [2 * grid_deg[-1] - middle[-1]]])
    steps = np.diff(x)
    half = 0.5 * float(np.median(steps))
    inside = edges.clip(x[0], x[-1])
    width = np.diff(inside)
    mean = _mean(x, intensity, inside, grid_deg)
    # Points within a step of the grid average out; fewer than one leave the uncertainty as it is.
    points = np.maximum(1.0, width / np.interp(grid_deg, x[:-1], steps))
    spread = np.sqrt(np.maximum(_mean(x, sigma**2, inside, grid_deg), 0.0) / points)
    allowed = max(largest_gap_deg, GAP_STEPS * 2 * half)
    after = np.searchsorted(x, grid_deg).clip(1, len(x) - 1)
    measured = (grid_deg >= x[0] - half) & (grid_deg <= x[-1] + half) & (steps[after - 1] <= allowed)
    return Brought(np.where(measured, mean, 0.0), np.where(measured, spread, 0.0), measured)


def _mean(x: Array, y: Array, edges: Array, centre: Array) -> Array:
    """Return the mean between edges of the straight lines through (x, y); where edges meet, the value at the centre."""
    steps = np.diff(x)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (y[1:] + y[:-1]) * steps)])
    at = (np.searchsorted(x, edges, side="right") - 1).clip(0, len(x) - 2)
    part = edges - x[at]
    area = total[at] + part * (y[at] + 0.5 * part * (y[at + 1] - y[at]) / steps[at])
    width = np.diff(edges)
    # The difference of two running sums is exact to their rounding only.
    narrow = width < 1e-9 * max(1.0, float(np.abs(x).max()))
    return np.where(narrow, np.interp(centre, x, y), np.diff(area) / np.where(narrow, 1.0, width))


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
