"""The broadening of sticks in plain float64 numpy: the readable reference of the compiled kernel's tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.areas import area_factors
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import MIN_SH_OVER_L, axial_terms
from datagen.simulate.background import background, without_background
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import (
    WIDTH_FLOOR,
    cosines_squared,
    displacement_shift_deg,
    gaussian_variance_cdeg2,
    hump_centre_deg,
    lorentzian_fwhm_cdeg,
    march_dollase,
    thompson_cox_hastings,
    widths_deg,
)
from datagen.simulate.sticks import Sticks

Array = NDArray[np.float64]


def broaden(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> Array:
    """Return patterns (augmentation, two_theta): the sum of every stick times its profile."""
    return np.array([_one(sticks, instrument, augmentations, i) for i in range(len(augmentations))])


def _one(sticks: Sticks, instrument: Instrument, augmentations: Augmentations, i: int) -> Array:
    a = augmentations[np.array([i])]
    grid = instrument.two_theta_deg
    lines = np.array([line.wavelength_A for line in instrument.lines])
    bragg = sticks.two_theta_deg

    intensity = sticks.intensity
    if a.march_r[0] != 1.0:
        texture = march_dollase(sticks.member_hkl, sticks.reciprocal_metric, a.march_hkl[0], a.march_r[0])
        intensity = np.add.reduceat(sticks.member_intensity * texture, sticks.member_start[:-1])
    factors = area_factors(bragg, sticks.line, instrument, a)
    intensity = intensity if factors is None else intensity * factors[0]
    # Crystallites are ellipsoids; the size of a stick is a mean over its members.
    cos2 = cosines_squared(sticks.member_hkl, sticks.reciprocal_metric, a.size_hkl[0])
    by_member = sticks.member_intensity * np.sqrt(cos2 / a.size_ratio[0] ** 2 + 1 - cos2)
    total = np.add.reduceat(sticks.member_intensity, sticks.member_start[:-1])
    size_um = a.crystallite_size_um / (np.add.reduceat(by_member, sticks.member_start[:-1]) / total)

    variance = np.maximum(gaussian_variance_cdeg2(bragg, a.U_cdeg2, a.V_cdeg2, a.W_cdeg2), WIDTH_FLOOR)
    gamma = np.maximum(
        lorentzian_fwhm_cdeg(bragg, lines[sticks.line], size_um, a.microstrain, a.X_cdeg, a.Y_cdeg),
        WIDTH_FLOOR,
    )
    total, eta = thompson_cox_hastings(variance, gamma)
    fwhm = total / 100
    sh_over_l = max(instrument.sh_over_l, MIN_SH_OVER_L)

    # The range over which GSAS-II sums a peak.
    position = bragg + a.zero_shift_deg + displacement_shift_deg(bragg, a.displacement_um, instrument)
    reach = (2.355 * np.sqrt(variance) + gamma) / 100
    below, above = 50 * (reach + sh_over_l * np.abs(np.cos(np.radians(bragg)))), 75 * reach
    below, above = np.where(position > 90, above, below), np.where(position > 90, below, above)

    pattern = np.zeros_like(grid)
    for n in range(len(sticks)):
        here = slice(*np.searchsorted(grid, [position[n] - below[n], position[n] + above[n]]))
        for delta, share in zip(*axial_terms(bragg[n], gamma[n], sh_over_l), strict=True):
            x = grid[here] - delta - (position[n] - bragg[n])
            pattern[here] += share * intensity[n] * pseudo_voigt(x, fwhm[n], eta[n])

    # Heights of foreign peaks and hump are relative to the highest point without them.
    top = pattern.max()
    start, stop = instrument.two_theta_min_deg, instrument.two_theta_max_deg
    place = start + a.impurity_position * (stop - start)
    width, mixing = widths_deg(place, lines[0], a)
    for height, where, w, m in zip(a.impurity_height[0], place[0], width[0], mixing[0], strict=True):
        pattern += height * top * pseudo_voigt(grid - where, w, m) / pseudo_voigt(np.zeros(1), w, m)
    hump = (grid - hump_centre_deg(a.hump_d_A, lines[0])) / a.hump_fwhm_deg
    pattern = pattern + a.hump_height * top * np.exp(-4 * np.log(2) * hump**2)
    beneath = background(instrument, a)
    pattern = pattern if beneath is None else pattern + top * beneath[0]
    if a.background_window[0] > 0:
        pattern = without_background(pattern, a.background_window[0]).astype(np.float64)
    return np.asarray(pattern, dtype=np.float64)


def pseudo_voigt(x: Array, fwhm: float, eta: float) -> Array:
    """Return eta Lorentzian + (1 - eta) Gaussian of the same FWHM and unit area."""
    y = (x / fwhm) ** 2
    lorentzian = 2 / np.pi / (1 + 4 * y)
    gaussian = np.sqrt(4 * np.log(2) / np.pi) * np.exp(-4 * np.log(2) * y)
    return np.asarray((eta * lorentzian + (1 - eta) * gaussian) / fwhm, dtype=np.float64)
