"""Widths, shapes and positions of peaks by GSAS-II's formulas for constant wavelength, on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument

Array = NDArray[np.float64]

WIDTH_FLOOR = 0.001
"""GSAS-II's floor of the Gaussian variance (cdeg^2) and of the Lorentzian width (cdeg)."""


def gaussian_variance_cdeg2(two_theta_deg: Array, U: Array, V: Array, W: Array) -> Array:
    """Return U tan^2(theta) + V tan(theta) + W, before the floor."""
    t = np.tan(np.radians(two_theta_deg) / 2)
    return np.asarray(U * t * t + V * t + W, dtype=np.float64)


def lorentzian_fwhm_cdeg(
    two_theta_deg: Array, wavelength_A: Array | float, size_um: Array, microstrain: Array, X: Array, Y: Array
) -> Array:
    """Return 1.8 lambda / (pi S cos(theta)) + 0.018 M tan(theta) / pi + X / cos(theta) + Y tan(theta), unfloored."""
    theta = np.radians(two_theta_deg) / 2
    size = 1.8 * wavelength_A / (np.pi * size_um) + X
    strain = 0.018 * microstrain / np.pi + Y
    return np.asarray(size / np.cos(theta) + strain * np.tan(theta), dtype=np.float64)


def thompson_cox_hastings(variance: Array, lorentzian: Array) -> tuple[Array, Array]:
    """Return FWHM and Lorentzian fraction eta of the pseudo-Voigt nearest to a Voigt (J. Appl. Cryst. 20 (1987) 79)."""
    g = np.sqrt(8 * np.log(2) * variance)
    f = lorentzian
    total = (
        g**5 + 2.69269 * g**4 * f + 2.42843 * g**3 * f**2 + 4.47163 * g**2 * f**3 + 0.07842 * g * f**4 + f**5
    ) ** 0.2
    r = f / total
    return total, 1.36603 * r - 0.47719 * r**2 + 0.11116 * r**3


def displacement_shift_deg(two_theta_deg: Array, displacement_um: Array, instrument: Instrument) -> Array:
    """Return the shift of a peak by a displaced sample, degrees.

    Reflection geometry: -2 s cos(theta) / R (s positive away from the beam side of the circle); transmission, s along
    the beam towards the detector: -s sin(2theta) / R. Both as in GSAS-II (`Shift`, `DisplaceY`).
    """
    s = displacement_um * 1e-3 / instrument.goniometer_radius_mm
    two_theta = np.radians(two_theta_deg)
    if instrument.geometry == "reflection":
        return np.asarray(np.degrees(-2 * s * np.cos(two_theta / 2)), dtype=np.float64)
    return np.asarray(np.degrees(-s * np.sin(two_theta)), dtype=np.float64)


def hump_centre_deg(d_A: Array, wavelength_A: float) -> Array:
    """Return the Bragg angle 2theta (degrees) of a d spacing; 180 if the spacing is below half the wavelength."""
    return np.asarray(2 * np.degrees(np.arcsin(np.minimum(1.0, wavelength_A / (2 * d_A)))), dtype=np.float64)


def march_dollase(hkl: NDArray[np.int32], reciprocal_metric: Array, axis_hkl: NDArray[np.int64], r: float) -> Array:
    """Return (r^2 cos^2(alpha) + sin^2(alpha) / r)^(-3/2), alpha between hkl and the axis, both plane normals."""
    cos2 = cosines_squared(hkl, reciprocal_metric, axis_hkl)
    return np.asarray((r * r * cos2 + (1 - cos2) / r) ** -1.5, dtype=np.float64)


def cosines_squared(hkl: NDArray[np.int32], reciprocal_metric: Array, axis_hkl: NDArray[np.int64]) -> Array:
    """Return cos^2 of the angle between hkl and an axis, both plane normals."""
    h, axis = hkl.astype(np.float64), axis_hkl.astype(np.float64)
    along = h @ reciprocal_metric @ axis
    length2 = np.einsum("ij,jk,ik->i", h, reciprocal_metric, h) * (axis @ reciprocal_metric @ axis)
    return np.asarray(along**2 / length2, dtype=np.float64)


def widths_deg(two_theta_deg: Array, wavelength_A: Array | float, augmentations: Augmentations) -> tuple[Array, Array]:
    """Return FWHM (degrees) and eta, shape (augmentation, angle); angles are (angle,) or (augmentation, angle)."""
    a = augmentations
    variance = gaussian_variance_cdeg2(two_theta_deg, a.U_cdeg2[:, None], a.V_cdeg2[:, None], a.W_cdeg2[:, None])
    gamma = lorentzian_fwhm_cdeg(
        two_theta_deg,
        wavelength_A,
        a.crystallite_size_um[:, None],
        a.microstrain[:, None],
        a.X_cdeg[:, None],
        a.Y_cdeg[:, None],
    )
    total, eta = thompson_cox_hastings(np.maximum(variance, WIDTH_FLOOR), np.maximum(gamma, WIDTH_FLOOR))
    return total / 100, eta
