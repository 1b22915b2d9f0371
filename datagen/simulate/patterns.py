"""What an engine gives back: patterns, the sticks behind them, and how crowded and how sharp they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.sticks import Sticks


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Width preflight, one entry per augmentation: what can be told about a pattern without looking at it."""

    width_angle_deg: NDArray[np.float64]
    """(angle,): where the widths are given, evenly over the range."""
    fwhm_deg: NDArray[np.float32]
    """(augmentation, angle)"""
    n_reflections: NDArray[np.int32]
    """Peaks in the pattern: distinct |Q|, times lines."""
    overlap: NDArray[np.float32]
    """Fraction of neighbouring peaks closer than the mean of their FWHM: they are not resolved."""
    n_variance_floor: NDArray[np.int32]
    """Peaks whose U, V, W give a variance below the floor of 0.001 cdeg^2, where they are kept."""


@dataclass(frozen=True, eq=False)
class Patterns:
    """The patterns of one crystal."""

    intensity: NDArray[np.float32]
    """(augmentation, two_theta), e^2 A^-6: sticks times unit-area profiles per degree, without noise or background."""
    maximum: NDArray[np.float32]
    """(augmentation,): the highest point of each."""
    sticks: Sticks
    diagnostics: Diagnostics


class Engine(Protocol):
    """What every engine is: crystal, instrument and augmentations to patterns."""

    def __call__(self, crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
        """Simulate one pattern per augmentation; `Unsimulable` where the crystal has no pattern."""
        ...
