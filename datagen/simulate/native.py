"""The default engine: |F|^2 once per structure, broadened for every augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.extras import add_extras
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Diagnostics, Patterns, width_curve
from datagen.simulate.peaks import sum_peaks
from datagen.simulate.second_phases import add_second_phases
from datagen.simulate.sticks import Sticks, compute_sticks


def simulate(crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
    """Return one pattern per augmentation; raise `Unsimulable` if the crystal has no pattern."""
    return from_sticks(compute_sticks(crystal, instrument), instrument, augmentations, crystal)


def broaden(
    sticks: Sticks, instrument: Instrument, augmentations: Augmentations
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return patterns (augmentation, two_theta) of stored sticks, and the highest point of each."""
    patterns = from_sticks(sticks, instrument, augmentations)
    return patterns.intensity, patterns.maximum


def from_sticks(
    sticks: Sticks, instrument: Instrument, augmentations: Augmentations, crystal: Crystal | None = None
) -> Patterns:
    """Return the patterns of sticks: the second half of `simulate`. Second phases need the density of the crystal."""
    n = len(augmentations)
    peaks = sum_peaks(sticks, instrument, augmentations)
    out, maximum = peaks.intensity, peaks.maximum
    if crystal is not None:
        add_second_phases(crystal, instrument, augmentations, out, maximum)
    elif augmentations.phase_fraction.any():
        raise ValueError("patterns with second phases: expected the crystal, found sticks only")
    add_extras(instrument, augmentations, out, maximum)
    angles, fwhm = width_curve(instrument, augmentations)
    n_reflections = np.full(n, len(sticks), dtype=np.int32)
    found = Diagnostics(angles, fwhm, n_reflections, peaks.overlap, peaks.n_variance_floor)
    return Patterns(out, maximum, sticks, found)
