"""Second phases: patterns of other crystals, added by weight fraction on the scale of the first."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.instrument import Instrument
from datagen.simulate.peaks import sum_peaks
from datagen.simulate.phase_library import MOST_PHASES, density_g_cm3, library
from datagen.simulate.refusal import NoReflections
from datagen.simulate.sticks import Sticks, compute_sticks


def add_second_phases(
    crystal: Crystal,
    instrument: Instrument,
    augmentations: Augmentations,
    intensity: NDArray[np.float32],
    maximum: NDArray[np.float32],
    lattices_A: NDArray[np.float64] | None = None,
) -> None:
    """Add second phases in place to patterns (augmentation, two_theta) of `crystal`, and update `maximum`.

    Patterns are those of equal irradiated volumes, so a phase of weight fraction w and density rho is added with the
    factor (w / rho) / (w_0 / rho_0), the index 0 for the crystal itself, whose strained cells are `lattices_A`
    (augmentation, 3, 3). Each phase has crystallites and microstrain of its own, the instrument and the shifts of the
    whole pattern, and neither preferred orientation nor strain. Differences of absorption are neglected.
    """
    a = augmentations
    if not a.phase_fraction.any():
        return
    density = np.full(len(a), density_g_cm3(crystal))
    if lattices_A is not None:
        density *= crystal.volume_A3 / np.abs(np.linalg.det(lattices_A))
    weight = 1.0 - a.phase_fraction.sum(axis=1)
    phases = library(a.phase_library)
    for k in range(a.phase_fraction.shape[1]):
        numbers = np.where(a.phase_fraction[:, k] > 0.0, a.phase_number[:, k], -1)
        for number in np.unique(numbers[numbers >= 0]).tolist():
            sticks = _sticks(a.phase_library, number, instrument)
            if sticks is None:
                continue
            rows = np.flatnonzero(numbers == number)
            factor = a.phase_fraction[rows, k] / weight[rows] * density[rows] / phases[number].density_g_cm3
            added = sum_peaks(sticks, instrument, _of_phase(a[rows], k)).intensity
            intensity[rows] += factor[:, None].astype(np.float32) * added
    maximum[:] = intensity.max(axis=1)


def _of_phase(augmentations: Augmentations, k: int) -> Augmentations:
    """Return the augmentations with the widths of phase k and without what belongs to the crystal."""
    return augmentations.changed(
        microstrain=augmentations.phase_microstrain[:, k],
        crystallite_size_um=augmentations.phase_size_um[:, k],
        march_r=np.ones(len(augmentations)),
        size_ratio=np.ones(len(augmentations)),
        overall_B_A2=np.zeros(len(augmentations)),
    )


@lru_cache(maxsize=MOST_PHASES)
def _sticks(library_name: str, number: int, instrument: Instrument) -> Sticks | None:
    """Return the sticks of a phase; None if it has no reflection in the instrument's range."""
    try:
        return compute_sticks(library(library_name)[number].crystal, instrument)
    except NoReflections:
        return None
