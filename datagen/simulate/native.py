"""The default engine: |F|^2 once per structure, broadened for every augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate import kernel
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import MIN_SH_OVER_L, quadrature
from datagen.simulate.extras import add_extras
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Diagnostics, Patterns, width_curve
from datagen.simulate.profile import WIDTH_FLOOR, displacement_shift_deg
from datagen.simulate.sticks import Sticks, compute_sticks
from datagen.simulate.texture import textured_intensity


def simulate(crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """Return one pattern per augmentation; raise `Unsimulable` if the crystal has no pattern."""
    return from_sticks(compute_sticks(crystal, instrument), instrument, augmentations)


def broaden(
    sticks: Sticks, instrument: Instrument, augmentations: Augmentations
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return patterns (augmentation, two_theta) of stored sticks, and the highest point of each."""
    patterns = from_sticks(sticks, instrument, augmentations)
    return patterns.intensity, patterns.maximum


def from_sticks(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """Return the patterns of sticks: the second half of `simulate`."""
    a, n = augmentations, len(augmentations)
    out, maximum = np.empty((n, instrument.n_points), dtype=np.float32), np.empty(n, dtype=np.float32)
    overlap, floored = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.int32)
    wavelengths = np.array([line.wavelength_A for line in instrument.lines])
    intensity, shift = sticks.intensity[None, :], np.zeros((1, len(sticks)))
    if (a.march_r != 1.0).any():
        intensity = textured_intensity(sticks, a)
    if a.zero_shift_deg.any() or a.displacement_um.any():
        displaced = displacement_shift_deg(sticks.two_theta_deg, a.displacement_um[:, None], instrument)
        shift = a.zero_shift_deg[:, None] + displaced
    kernel.broaden(
        sticks.two_theta_deg,
        wavelengths[sticks.line],
        intensity,
        shift,
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
    add_extras(instrument, a, out, maximum)
    angles, fwhm = width_curve(instrument, a)
    found = Diagnostics(angles, fwhm, np.full(n, len(sticks), dtype=np.int32), overlap, floored)
    return Patterns(out, maximum, sticks, found)
