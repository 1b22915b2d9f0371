"""The default engine: |F|^2 once per structure, broadened for every augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate import kernel
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import MIN_SH_OVER_L, quadrature
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Diagnostics, Patterns
from datagen.simulate.profile import WIDTH_FLOOR, displacement_shift_deg, hump_centre_deg, widths_deg
from datagen.simulate.sticks import Sticks, compute_sticks
from datagen.simulate.texture import textured_intensity

Array = NDArray[np.float64]

N_WIDTH_ANGLES = 5


def simulate(crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """One pattern per augmentation; `Unsimulable` where the crystal has no pattern."""
    return broaden(compute_sticks(crystal, instrument), instrument, augmentations)


def broaden(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """Sticks to patterns."""
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
    basis = kernel.basis(instrument.n_points)
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
        basis,
        out,
        maximum,
        overlap,
        floored,
    )
    if a.impurity_height.any() or a.hump_height.any():
        _add_extras(instrument, a, basis, out, maximum)

    angles = np.linspace(instrument.two_theta_min_deg, instrument.two_theta_max_deg, N_WIDTH_ANGLES)
    fwhm, _ = widths_deg(angles, wavelengths[0], a)
    found = Diagnostics(angles, fwhm.astype(np.float32), np.full(n, len(sticks), dtype=np.int32), overlap, floored)
    return Patterns(out, maximum, sticks, found)


def _add_extras(
    instrument: Instrument,
    a: Augmentations,
    basis: kernel.Basis,
    out: NDArray[np.float32],
    maximum: NDArray[np.float32],
) -> None:
    start, step, wavelength = instrument.two_theta_min_deg, instrument.step_deg, instrument.lines[0].wavelength_A
    place = start + a.impurity_position * (instrument.two_theta_max_deg - start)
    fwhm, eta = widths_deg(place, wavelength, a)
    kernel.add_extras(
        (place - start) / step,
        fwhm / step,
        eta,
        a.impurity_height,
        (hump_centre_deg(a.hump_d_A, wavelength) - start) / step,
        a.hump_fwhm_deg / step,
        a.hump_height,
        basis,
        out,
        maximum,
    )
