"""The result of an engine: patterns, their sticks, and diagnostics of widths and overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.profile import WIDTH_FLOOR, gaussian_variance_cdeg2, widths_deg
from datagen.simulate.sticks import Sticks

N_WIDTH_ANGLES = 5


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Widths and overlap of the peaks, one entry per augmentation."""

    width_angle_deg: NDArray[np.float64]
    """(angle,): angles of the widths, evenly over the range."""
    fwhm_deg: NDArray[np.float32]
    """(augmentation, angle)"""
    n_reflections: NDArray[np.int32]
    """Peaks in the pattern: distinct |Q|, times lines."""
    overlap: NDArray[np.float32]
    """Fraction of neighbouring peaks that are not resolved: closer than the mean of their FWHM."""
    n_variance_floor: NDArray[np.int32]
    """Peaks whose U, V, W give a variance below the floor of 0.001 cdeg^2, which is used instead."""


@dataclass(frozen=True, eq=False)
class Patterns:
    """The patterns of one crystal."""

    intensity: NDArray[np.float32]
    """(augmentation, two_theta), e^2 A^-6: sticks times unit-area profiles per degree, without noise or background."""
    maximum: NDArray[np.float32]
    """(augmentation,): highest point of each pattern."""
    sticks: Sticks
    diagnostics: Diagnostics
    lattices_A: NDArray[np.float64] | None = None
    """(augmentation, 3, 3): cell vectors of each pattern, rows, if any is strained."""


class Engine(Protocol):
    """The interface of every engine: crystal, instrument and augmentations to patterns."""

    def __call__(self, crystal: Crystal, instrument: Instrument, augmentations: Augmentations) -> Patterns:
        """Return one pattern per augmentation; raise `Unsimulable` if the crystal has no pattern."""
        ...


def diagnose(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> Diagnostics:
    """Return diagnostics of the patterns of these sticks; the native engine counts the same while broadening."""
    a, position = augmentations, sticks.two_theta_deg
    wavelengths = np.array([line.wavelength_A for line in instrument.lines])[sticks.line]
    width, _ = widths_deg(position, wavelengths, a)
    overlap = np.zeros(len(a), dtype=np.float32)
    if position.size > 1:
        overlap = np.mean(np.diff(position) < (width[:, 1:] + width[:, :-1]) / 2, axis=1, dtype=np.float32)
    variance = gaussian_variance_cdeg2(position, a.U_cdeg2[:, None], a.V_cdeg2[:, None], a.W_cdeg2[:, None])
    angles, fwhm = width_curve(instrument, a)
    return Diagnostics(
        angles,
        fwhm,
        np.full(len(a), position.size, dtype=np.int32),
        overlap,
        np.count_nonzero(variance < WIDTH_FLOOR, axis=1).astype(np.int32),
    )


def width_curve(
    instrument: Instrument, augmentations: Augmentations
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return a few angles over the range and the FWHM of the first line there, (augmentation, angle), degrees."""
    angles = np.linspace(instrument.two_theta_min_deg, instrument.two_theta_max_deg, N_WIDTH_ANGLES)
    fwhm, _ = widths_deg(angles, instrument.lines[0].wavelength_A, augmentations)
    return angles, fwhm.astype(np.float32)
