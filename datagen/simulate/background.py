"""Backgrounds beneath the peaks, and their subtraction as measured scans get it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import hump_centre_deg
from trainer.scans.bring import snip

Array = NDArray[np.float64]


def add_background(
    instrument: Instrument,
    augmentations: Augmentations,
    top: NDArray[np.float32],
    intensity: NDArray[np.float32],
    maximum: NDArray[np.float32],
) -> None:
    """Add backgrounds in place to patterns (augmentation, two_theta), subtract what SNIP finds, update `maximum`.

    Heights are relative to `top`, the highest point of the peaks.
    """
    a = augmentations
    shape = background(instrument, a)
    if shape is not None:
        intensity += (shape * top[:, None]).astype(np.float32)
    for i in np.flatnonzero(a.background_window > 0.0).tolist():
        intensity[i] = without_background(intensity[i], a.background_window[i])
    if shape is not None or a.background_window.any():
        maximum[:] = intensity.max(axis=1)


def background(instrument: Instrument, augmentations: Augmentations) -> Array | None:
    """Return backgrounds (augmentation, two_theta) relative to the highest point of the peaks, None without any."""
    a = augmentations
    if not (a.background_height.any() or a.air_height.any() or a.second_hump_height.any()):
        return None
    angle = instrument.two_theta_deg
    start, stop = instrument.two_theta_min_deg, instrument.two_theta_max_deg
    parts = []
    if a.background_height.any():
        x = 2.0 * (angle - start) / (stop - start) - 1.0
        first, second, third = a.background_chebyshev.T[:, :, None]
        shape = 1.0 + first * x + second * (2.0 * x**2 - 1.0) + third * (4.0 * x**3 - 3.0 * x)
        parts.append(a.background_height[:, None] * np.maximum(shape, 0.0))
    if a.air_height.any():
        parts.append(a.air_height[:, None] * np.exp(-(angle - start) / a.air_decay_deg[:, None]))
    if a.second_hump_height.any():
        centre = hump_centre_deg(a.second_hump_d_A, instrument.lines[0].wavelength_A)[:, None]
        off = (angle - centre) / a.second_hump_fwhm_deg[:, None]
        parts.append(a.second_hump_height[:, None] * np.exp(-4.0 * np.log(2.0) * off**2))
    return np.asarray(np.sum(parts, axis=0))


def without_background(intensity: NDArray[np.float32] | Array, window: float) -> NDArray[np.float32]:
    """Return a pattern less what SNIP finds with this half window, a share of the range; nothing is negative."""
    wide = intensity.astype(np.float64)
    scale = SNIP_COUNTS / max(float(wide.max()), 1e-300)
    left = wide * scale - snip(wide * scale, int(window * len(wide)))
    return np.asarray(np.maximum(left, 0.0) / scale, dtype=np.float32)


SNIP_COUNTS = 10_000.0
"""Counts at the maximum to which a pattern is scaled for SNIP, whose logarithms weigh weak against strong points."""
