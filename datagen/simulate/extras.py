"""Foreign peaks and an amorphous hump, added to the crystal's own peaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate import kernel
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import hump_centre_deg, widths_deg


def add_extras(
    instrument: Instrument,
    augmentations: Augmentations,
    intensity: NDArray[np.float32],
    maximum: NDArray[np.float32],
) -> None:
    """Add foreign peaks and humps in place to patterns (augmentation, two_theta), and update `maximum`.

    Heights are relative to the `maximum` before. A foreign peak has the width of the crystal's own peaks at its angle;
    a hump is a Gaussian at the Bragg angle of a neighbour distance.
    """
    a = augmentations
    if not (a.impurity_height.any() or a.hump_height.any()):
        return
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
        kernel.basis(instrument.n_points),
        intensity,
        maximum,
    )
