"""Scans of crystals with changed cells, as a laboratory would measure them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.identification.axis import Observed, observe
from datagen.simulate.instrument import Instrument, Line
from datagen.simulate.sticks import compute_sticks

Array = NDArray[np.float64]


def stretched(crystal: Crystal, strain: Array) -> Crystal:
    """Return the crystal with its cell vectors changed by a symmetric strain (3, 3)."""
    return Crystal.canonical(
        crystal.lattice_A @ (np.eye(3) + strain),
        crystal.species,
        crystal.occupancy,
        crystal.fractional,
        crystal.u_iso_A2,
    )


def scan_of(
    crystal: Crystal, wavelength_A: float = 1.5405929, zero_deg: float = 0.0, counts: float = 3000.0, seed: int = 0
) -> tuple[Array, Array]:
    """Return angles and counts: Gaussian lines of 0.12 degrees on a sloping background, Poisson noise."""
    high = float(np.degrees(2 * np.arcsin(min(np.sin(np.radians(45)) * wavelength_A / 1.5405929, 0.99))))
    instrument = Instrument(
        lines=(Line(wavelength_A=wavelength_A),), polarisation=0.5, two_theta_min_deg=3.0, two_theta_max_deg=high + 1,
        n_points=64, geometry="reflection",
    )  # fmt: skip
    sticks = compute_sticks(crystal, instrument)
    angle = np.arange(5.0, high, 0.02)
    width = 0.12 / 2.3548
    lines = np.exp(-0.5 * ((angle[:, None] - sticks.two_theta_deg - zero_deg) / width) ** 2) @ sticks.intensity
    expected = counts * (lines / lines.max() + 0.15 * np.exp(-angle / 25) + 0.02)
    return angle, np.random.default_rng(seed).poisson(expected).astype(np.float64)


def observed(crystal: Crystal, **options: float) -> Observed:
    """Return such a scan on the axis ln q."""
    wavelength_A = float(options.get("wavelength_A", 1.5405929))
    return observe(*scan_of(crystal, **options), wavelength_A)  # type: ignore[arg-type]
