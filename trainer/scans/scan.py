"""A measured scan and what its file says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.scans.uncertainty import counting, from_scatter, noise_gain

Array = NDArray[np.float64]
Unit = Literal["counts", "counts/s", "arbitrary"]

SHORTEST_A, LONGEST_A = 0.05, 10.0
MOST_POINTS = 5_000_000
COUNTS_GAIN = (0.3, 3.0)
"""Variance of counts over their mean: 1 by Poisson's law, with some latitude for few counts and estimated noise."""


class ScanError(TrainerError):
    """A file that is not a readable scan, with the reason."""


@dataclass(frozen=True)
class Radiation:
    """The radiation of a scan, as far as the file states it."""

    wavelengths_A: tuple[float, ...] = ()
    """The main line first: K-alpha1, then K-alpha2 where it was not removed."""
    alpha2_ratio: float | None = None
    """Intensity of K-alpha2 over that of K-alpha1."""
    anode: str | None = None
    monochromator: str | None = None


@dataclass(frozen=True, eq=False)
class ScanRange:
    """One range of a file, as it stands there."""

    two_theta_deg: Array
    intensity: Array
    sigma: Array | None = None
    seconds: float | Array | None = None
    """Counting time for each point."""


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan: rising angles, intensities, and what the file says about them."""

    two_theta_deg: Array
    intensity: Array
    unit: Unit = "arbitrary"
    sigma: Array | None = None
    """Standard uncertainties, where the file states them or ranges were combined."""
    seconds: Array | None = None
    """Counting time for each point."""
    radiation: Radiation = Radiation()
    sample: str | None = None
    format: str = ""
    ranges: int = 1
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        two_theta_deg: Array,
        intensity: Array,
        wavelength_A: float | None = None,
        sigma: Array | None = None,
        unit: Unit | None = None,
    ) -> Scan:
        """Make a scan of arrays, with the checks of a file; whole numbers that scatter as counts are counts."""
        from trainer.scans.join import join

        x, y = (np.asarray(values, dtype=np.float64) for values in (two_theta_deg, intensity))
        errors = None if sigma is None else np.asarray(sigma, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape or (errors is not None and errors.shape != y.shape):
            raise ScanError("expected one-dimensional arrays of one length")
        if unit is None:
            unit = "arbitrary" if errors is not None else unit_of(y)
        radiation = Radiation(() if wavelength_A is None else (float(wavelength_A),))
        return join("arrays", [ScanRange(x, y, errors)], unit, radiation)

    @property
    def wavelength_A(self) -> float | None:
        """The main wavelength, A, where the file states one."""
        return self.radiation.wavelengths_A[0] if self.radiation.wavelengths_A else None

    @property
    def is_rate(self) -> bool:
        """Whether the intensities are counts per second."""
        return self.unit == "counts/s"

    @property
    def step_deg(self) -> float:
        """Median step of the angles."""
        return float(np.median(np.diff(self.two_theta_deg)))

    @property
    def uncertainty(self) -> Array:
        """Standard uncertainties: as stated, by counting statistics, or estimated from the scatter of neighbours."""
        if self.sigma is not None:
            return self.sigma
        if self.unit == "counts":
            return counting(self.intensity)
        if self.unit == "counts/s" and self.seconds is not None:
            return np.asarray(counting(self.intensity * self.seconds) / self.seconds, dtype=np.float64)
        return from_scatter(self.intensity)

    def __repr__(self) -> str:
        x, wavelength = self.two_theta_deg, self.wavelength_A
        return (
            f"Scan({self.format}, {len(x)} points from {x[0]:g} to {x[-1]:g} degrees, {self.unit}, "
            f"{'wavelength not stated' if wavelength is None else f'{wavelength:g} A'})"
        )


def tube(
    alpha1: float | None,
    alpha2: float | None = None,
    ratio: float | None = None,
    anode: str | None = None,
    monochromator: str | None = None,
    *,
    only_alpha1: bool = False,
) -> Radiation:
    """Return the radiation of an X-ray tube; wavelengths that cannot be one are left out."""
    stated = [alpha1] if only_alpha1 or not ratio else [alpha1, alpha2]
    lines = tuple(float(w) for w in stated if w is not None and SHORTEST_A < w < LONGEST_A)
    clean = None if ratio is None or not 0 < ratio < 2 or len(lines) < 2 else float(ratio)
    return Radiation(lines, clean, (anode or "").strip() or None, (monochromator or "").strip() or None)


def unit_of(intensity: Array) -> Unit:
    """Return "counts" for whole numbers that scatter as counts do, else "arbitrary"."""
    finite = intensity[np.isfinite(intensity)]
    if len(finite) == 0 or np.any(finite < 0) or np.any(finite != np.round(finite)):
        return "arbitrary"
    gain = noise_gain(finite)
    return "counts" if COUNTS_GAIN[0] < gain < COUNTS_GAIN[1] else "arbitrary"
