"""The number of axial nodes, a rounded ratio, changes a peak by a step: the large differences of docs/engine.md."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations
from datagen.simulate.axial import axial_terms
from datagen.simulate.gsas2 import engine as gsas2
from datagen.simulate.instrument import Instrument
from datagen.steps.shard_task import ROCK_SALT
from tests.simulate.needs_gsas2 import require_gsas2

WIDE_SLITS = Instrument.preset("cu_kalpha1").model_copy(update={"sh_over_l": 0.03})
PEAK_DEG = 27.367
"""(111) of rock salt."""


def around_the_step() -> Augmentations:
    """Two crystallite sizes 0.04 % apart, on both sides of 300 (2theta - 2phi_min) / gamma = 3 for the first peak."""
    lowest = math.degrees(math.acos(math.sqrt(1 + WIDE_SLITS.sh_over_l**2) * math.cos(math.radians(PEAK_DEG))))
    gamma_cdeg = 100.0 * (PEAK_DEG - lowest)  # ratio 3
    size = 1.8 * WIDE_SLITS.lines[0].wavelength_A / (math.pi * gamma_cdeg * math.cos(math.radians(PEAK_DEG / 2)))
    assert [len(axial_terms(PEAK_DEG, gamma_cdeg * f, WIDE_SLITS.sh_over_l)[0]) for f in (1.0002, 0.9998)] == [1, 2]
    return Augmentations.of(
        U_cdeg2=[1.0, 1.0],
        V_cdeg2=[0.0, 0.0],
        W_cdeg2=[1.0, 1.0],
        microstrain=[0.0, 0.0],
        crystallite_size_um=[size * 0.9998, size * 1.0002],
    )


def step(patterns: NDArray[np.float32]) -> float:
    """Return the largest change of the peak, of its height."""
    near = np.abs(WIDE_SLITS.two_theta_deg - PEAK_DEG) < 2.0
    below, above = patterns[:, near].astype(np.float64)
    return float(np.abs(above - below).max() / below.max())


def test_a_width_that_changes_by_4e_4_changes_a_peak_by_a_fifth() -> None:
    assert 0.15 < step(native.simulate(ROCK_SALT, WIDE_SLITS, around_the_step()).intensity) < 0.25


@pytest.mark.gsas
def test_gsas2_has_the_same_step_at_the_same_width() -> None:
    require_gsas2()
    augmentations = around_the_step()
    ours = native.simulate(ROCK_SALT, WIDE_SLITS, augmentations).intensity
    theirs = gsas2.simulate(ROCK_SALT, WIDE_SLITS, augmentations).intensity
    assert step(theirs) == pytest.approx(step(ours), abs=1e-3)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one / one.max(), other / other.max(), atol=3e-4)
