"""The peaks of one phase, summed for every augmentation by the compiled kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datagen.simulate import kernel
from datagen.simulate.areas import area_factors
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import MIN_SH_OVER_L, quadrature
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import WIDTH_FLOOR, displacement_shift_deg
from datagen.simulate.sticks import Sticks
from datagen.simulate.texture import size_factors, textured_intensity


class SummedPeaks(NamedTuple):
    """Patterns of one phase without foreign matter, and what the kernel counts on the way."""

    intensity: NDArray[np.float32]
    """(augmentation, two_theta)."""
    maximum: NDArray[np.float32]
    overlap: NDArray[np.float32]
    """Fraction of neighbouring peaks that are not resolved."""
    n_variance_floor: NDArray[np.int32]


def sum_peaks(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> SummedPeaks:
    """Return the sums of broadened, shifted, textured and weighted peaks."""
    a, n = augmentations, len(augmentations)
    out, maximum = np.empty((n, instrument.n_points), dtype=np.float32), np.empty(n, dtype=np.float32)
    overlap, floored = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.int32)
    wavelengths = np.array([line.wavelength_A for line in instrument.lines])
    intensity, shift = sticks.intensity[None, :], np.zeros((1, len(sticks)))
    if (a.march_r != 1.0).any():
        intensity = textured_intensity(sticks, a)
    factors = area_factors(sticks.two_theta_deg, sticks.line, instrument, a)
    if factors is not None:
        intensity = intensity * factors
    size_factor = size_factors(sticks, a) if (a.size_ratio != 1.0).any() else np.ones((1, len(sticks)))
    if a.zero_shift_deg.any() or a.displacement_um.any():
        displaced = displacement_shift_deg(sticks.two_theta_deg, a.displacement_um[:, None], instrument)
        shift = a.zero_shift_deg[:, None] + displaced
    kernel.broaden(
        sticks.two_theta_deg,
        wavelengths[sticks.line],
        intensity,
        shift,
        size_factor,
        np.stack([a.U_cdeg2, a.V_cdeg2, a.W_cdeg2, a.crystallite_size_um, a.microstrain, a.X_cdeg, a.Y_cdeg], axis=1),
        WIDTH_FLOOR,
        max(instrument.sh_over_l, MIN_SH_OVER_L),
        instrument.two_theta_min_deg,
        instrument.step_deg,
        quadrature(),
        kernel.basis(instrument.n_points),
        out,
        maximum,
        overlap,
        floored,
    )
    return SummedPeaks(out, maximum, overlap, floored)
