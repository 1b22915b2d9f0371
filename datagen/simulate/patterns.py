"""What an engine gives back: patterns, the sticks behind them, and how crowded and how sharp they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import WIDTH_FLOOR, fwhm_deg, gaussian_variance_cdeg2
from datagen.simulate.sticks import Sticks

N_WIDTH_ANGLES = 5


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
    """Peaks whose U, V, W give a variance below the floor: sharper than asked for is impossible, so they are floored."""


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
        """Simulate one pattern per augmentation; `NoReflectionsError` where nothing lies in range."""
        ...


def diagnose(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> Diagnostics:
    """Widths, crowding and floors of the patterns of these sticks."""
    a = augmentations
    angles = np.linspace(instrument.two_theta_min_deg, instrument.two_theta_max_deg, N_WIDTH_ANGLES)
    order = np.argsort(sticks.two_theta_deg, kind="stable")
    position = sticks.two_theta_deg[order]
    width = fwhm_deg(position, instrument, a)
    overlap = np.zeros(len(a), dtype=np.float32)
    if position.size > 1:
        overlap = np.mean(np.diff(position) < (width[:, 1:] + width[:, :-1]) / 2, axis=1, dtype=np.float32)
    variance = gaussian_variance_cdeg2(position, a.U_cdeg2[:, None], a.V_cdeg2[:, None], a.W_cdeg2[:, None])
    return Diagnostics(
        angles,
        fwhm_deg(angles, instrument, a).astype(np.float32),
        np.full(len(a), position.size, dtype=np.int32),
        overlap,
        np.count_nonzero(variance < WIDTH_FLOOR, axis=1).astype(np.int32),
    )
