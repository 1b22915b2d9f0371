"""Factors of the areas of peaks: displacement, further lines, roughness and absorption."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument

Array = NDArray[np.float64]


def area_factors(
    two_theta_deg: Array, line: NDArray[np.int64], instrument: Instrument, augmentations: Augmentations
) -> Array | None:
    """Return the factor of each stick's area (augmentation, stick), None if there is none."""
    a = augmentations
    wavelengths = np.array([each.wavelength_A for each in instrument.lines])[line]
    sine = np.sin(np.radians(two_theta_deg) / 2)
    factors = []
    if a.overall_B_A2.any():
        factors.append(np.exp(-2.0 * a.overall_B_A2[:, None] * (sine / wavelengths) ** 2))
    if (a.further_lines != 1.0).any() and len(instrument.lines) > 1:
        factors.append(np.where(line > 0, a.further_lines[:, None], 1.0))
    if a.roughness.any() and instrument.geometry == "reflection":
        factors.append(suortti(sine, a.roughness[:, None], a.roughness_depth[:, None]))
    if a.absorption_mu_r.any() and instrument.geometry == "transmission":
        factors.append(hewat(sine, a.absorption_mu_r[:, None]))
    return np.prod(factors, axis=0) if factors else None


def suortti(sine: Array, roughness: Array, depth: Array) -> Array:
    """Return what a rough surface leaves, 1 at theta = 90 degrees (Suortti, J. Appl. Cryst. 5 (1972) 325).

    (1 - r + r exp(-t / sin(theta))) / (1 - r + r exp(-t)), as GSAS-II has it.
    """
    left = 1.0 - roughness + roughness * np.exp(-depth / sine)
    return np.asarray(left / (1.0 - roughness + roughness * np.exp(-depth)), dtype=np.float64)


def hewat(sine: Array, mu_r: Array) -> Array:
    """Return what a cylinder transmits over what it does at theta = 0, for mu R up to 1.

    Hewat, Acta Cryst. A35 (1979) 248: exp(-(1.7133 - 0.0368 s^2) mu R + (0.0927 + 0.375 s^2) (mu R)^2), s = sin(theta).
    """
    return np.asarray(np.exp(sine**2 * (0.0368 * mu_r + 0.375 * mu_r**2)), dtype=np.float64)
