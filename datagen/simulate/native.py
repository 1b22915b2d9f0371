"""The default engine: |F|^2 once per structure, broadened for every augmentation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate import kernel
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import MIN_SH_OVER_L, quadrature
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Patterns, diagnose
from datagen.simulate.profile import WIDTH_FLOOR, displacement_shift_deg
from datagen.simulate.sticks import Sticks, compute_sticks, textured_intensity


def simulate(crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """One pattern per augmentation; `NoReflectionsError` where nothing lies in range."""
    sticks = compute_sticks(crystal, instrument)
    intensity, maximum = broaden(sticks, instrument, augmentations)
    return Patterns(intensity, maximum, sticks, diagnose(sticks, instrument, augmentations))


def broaden(
    sticks: Sticks, instrument: Instrument, augmentations: Augmentations
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sticks to patterns (augmentation, two_theta) and the highest point of each."""
    a = augmentations
    out = np.empty((len(a), instrument.n_points), dtype=np.float32)
    maximum = np.empty(len(a), dtype=np.float32)
    wavelengths = np.array([line.wavelength_A for line in instrument.lines])
    shift = np.zeros((1, len(sticks)))
    if a.zero_shift_deg.any() or a.displacement_um.any():
        shift = a.zero_shift_deg[:, None] + displacement_shift_deg(
            sticks.two_theta_deg, a.displacement_um[:, None], instrument
        )
    intensity = sticks.intensity[None, :]
    if (a.march_r != 1.0).any():
        intensity = textured_intensity(sticks, a)
    kernel.broaden(
        sticks.two_theta_deg,
        wavelengths[sticks.line],
        intensity,
        shift,
        a.U_cdeg2,
        a.V_cdeg2,
        a.W_cdeg2,
        a.crystallite_size_um,
        a.microstrain,
        a.X_cdeg,
        a.Y_cdeg,
        max(instrument.sh_over_l, MIN_SH_OVER_L),
        WIDTH_FLOOR,
        instrument.two_theta_min_deg,
        instrument.step_deg,
        *quadrature(),
        *_ramps(instrument.n_points),
        kernel.TO_POINTS,
        kernel.TO_BLOCKS,
        out,
        maximum,
    )
    return out, maximum


@lru_cache(maxsize=8)
def _ramps(n_points: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    return kernel.ramps(n_points)
