"""The default engine: |F|^2 once per structure, broadened for every augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.background import add_background
from datagen.simulate.extras import add_extras
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import Diagnostics, Patterns, width_curve
from datagen.simulate.peaks import SummedPeaks, sum_peaks
from datagen.simulate.reflections import point_group
from datagen.simulate.second_phases import add_second_phases
from datagen.simulate.sticks import Sticks, compute_sticks
from datagen.simulate.strain import is_strained, strained_lattices


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
    """Return the patterns of sticks: the second half of `simulate`. Second phases and strain need the crystal."""
    a = augmentations
    strained = is_strained(a)
    if crystal is None and (a.phase_fraction.any() or strained.any()):
        raise ValueError("patterns with second phases or strain: expected the crystal, found sticks only")
    n_reflections = np.full(len(a), len(sticks), dtype=np.int32)
    lattices = None
    if crystal is not None and strained.any():
        lattices = strained_lattices(crystal.lattice_A, point_group(crystal, instrument), a)
        lattices[~strained] = crystal.lattice_A
        own = [
            compute_sticks(crystal, instrument, lattice) if differs else sticks
            for lattice, differs in zip(lattices, strained, strict=True)
        ]
        n_reflections[:] = [len(each) for each in own]
        each_peaks = [sum_peaks(each, instrument, a[np.array([i])]) for i, each in enumerate(own)]
        peaks = SummedPeaks(*(np.concatenate(parts) for parts in zip(*each_peaks, strict=True)))
    else:
        peaks = sum_peaks(sticks, instrument, a)
    out, maximum = peaks.intensity, peaks.maximum
    if crystal is not None:
        add_second_phases(crystal, instrument, a, out, maximum, lattices)
    top = maximum.copy()
    add_extras(instrument, a, out, maximum)
    add_background(instrument, a, top, out, maximum)
    angles, fwhm = width_curve(instrument, a)
    found = Diagnostics(angles, fwhm, n_reflections, peaks.overlap, peaks.n_variance_floor)
    return Patterns(out, maximum, sticks, found, lattices)
