"""The same patterns in plain float64 numpy, to be read and to be believed: what the compiled kernel is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import MIN_SH_OVER_L, axial_terms
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import (
    WIDTH_FLOOR,
    displacement_shift_deg,
    gaussian_variance_cdeg2,
    lorentzian_fwhm_cdeg,
    march_dollase,
    thompson_cox_hastings,
)
from datagen.simulate.sticks import Sticks


def broaden(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> NDArray[np.float64]:
    """Patterns (augmentation, two_theta): every stick times its profile, summed."""
    return np.array([_one(sticks, instrument, augmentations, i) for i in range(len(augmentations))])


def _one(sticks: Sticks, instrument: Instrument, augmentations: Augmentations, i: int) -> NDArray[np.float64]:
    a = augmentations[np.array([i])]
    grid = instrument.two_theta_deg
    wavelength = np.array([line.wavelength_A for line in instrument.lines])[sticks.line]
    bragg = sticks.two_theta_deg

    intensity = sticks.intensity
    if a.march_r[0] != 1.0:
        texture = march_dollase(sticks.member_hkl, sticks.reciprocal_metric, a.march_hkl[0], a.march_r[0])
        intensity = np.add.reduceat(sticks.member_intensity * texture, sticks.member_start[:-1])

    variance = np.maximum(gaussian_variance_cdeg2(bragg, a.U_cdeg2, a.V_cdeg2, a.W_cdeg2), WIDTH_FLOOR)
    gamma = np.maximum(
        lorentzian_fwhm_cdeg(bragg, wavelength, a.crystallite_size_um, a.microstrain, a.X_cdeg, a.Y_cdeg), WIDTH_FLOOR
    )
    total, eta = thompson_cox_hastings(variance, gamma)
    fwhm = total / 100
    sh_over_l = max(instrument.sh_over_l, MIN_SH_OVER_L)

    # GSAS-II sums a peak from here to there.
    position = bragg + a.zero_shift_deg + displacement_shift_deg(bragg, a.displacement_um, instrument)
    reach = (2.355 * np.sqrt(variance) + gamma) / 100
    below, above = 50 * (reach + sh_over_l * np.abs(np.cos(np.radians(bragg)))), 75 * reach
    below, above = np.where(position > 90, above, below), np.where(position > 90, below, above)

    pattern = np.zeros_like(grid)
    for n in range(len(sticks)):
        here = slice(*np.searchsorted(grid, [position[n] - below[n], position[n] + above[n]]))
        for delta, share in zip(*axial_terms(bragg[n], gamma[n], sh_over_l), strict=True):
            x = (grid[here] - delta - (position[n] - bragg[n])) / fwhm[n]
            lorentzian = 2 / np.pi / (1 + 4 * x**2)
            gaussian = np.sqrt(4 * np.log(2) / np.pi) * np.exp(-4 * np.log(2) * x**2)
            pattern[here] += share * intensity[n] / fwhm[n] * (eta[n] * lorentzian + (1 - eta[n]) * gaussian)
    return pattern
