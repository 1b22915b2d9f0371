"""Foreign peaks, the amorphous hump, and shifts of the zero and of the sample."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.simulate.instrument import Instrument
from datagen.simulate.native import simulate
from datagen.simulate.parameter import MAX_IMPURITY_PEAKS
from tests.simulate.crystals import one_augmentation, rutile

PAPER = Instrument.preset("alphadiffract")
CLEAN = simulate(rutile(), PAPER, one_augmentation())


def test_a_foreign_peak_has_the_height_and_place_it_was_given() -> None:
    heights, places = np.zeros((1, MAX_IMPURITY_PEAKS)), np.zeros((1, MAX_IMPURITY_PEAKS))
    heights[0, 2], places[0, 2] = 0.05, 0.3
    augmented = one_augmentation().changed(impurity_height=heights, impurity_position=places)
    extra = simulate(rutile(), PAPER, augmented).intensity[0] - CLEAN.intensity[0]
    assert PAPER.two_theta_deg[extra.argmax()] == pytest.approx(5 + 0.3 * 15, abs=PAPER.step_deg)
    assert extra.max() == pytest.approx(0.05 * CLEAN.maximum[0], rel=1e-3)
    assert extra.min() > -1e-6 * CLEAN.maximum[0]


def test_a_hump_lies_at_the_bragg_angle_of_its_distance() -> None:
    augmented = one_augmentation(hump_height=0.1, hump_d_A=4.0, hump_fwhm_deg=2.0)
    found = simulate(rutile(), PAPER, augmented)
    extra = found.intensity[0] - CLEAN.intensity[0]
    centre = 2 * np.degrees(np.arcsin(0.619921 / 8.0))
    assert PAPER.two_theta_deg[extra.argmax()] == pytest.approx(centre, abs=0.05)
    above_half = PAPER.two_theta_deg[extra > extra.max() / 2]
    assert np.ptp(above_half) == pytest.approx(2.0, abs=0.05)
    assert found.maximum[0] == found.intensity[0].max()


def test_a_hump_outside_the_range_leaves_its_flank() -> None:
    augmented = one_augmentation(hump_height=0.1, hump_d_A=1.6, hump_fwhm_deg=6.0)
    extra = simulate(rutile(), PAPER, augmented).intensity[0] - CLEAN.intensity[0]
    assert extra.argmax() == PAPER.n_points - 1


@pytest.mark.parametrize(
    ("geometry", "change", "shift_deg"),
    [
        ("transmission", {"zero_shift_deg": 0.05}, 0.05),
        ("transmission", {"displacement_um": 500.0}, -np.degrees(0.5 / 200 * np.sin(np.radians(10.95)))),
        ("reflection", {"displacement_um": 50.0}, -np.degrees(2 * 0.05 / 200 * np.cos(np.radians(10.95 / 2)))),
    ],
)
def test_peaks_move_as_the_geometry_says(geometry: str, change: dict[str, float], shift_deg: float) -> None:
    """Seen at the 110 of rutile, 10.95 degrees."""
    instrument = PAPER.model_copy(update={"geometry": geometry, "two_theta_min_deg": 10.5, "two_theta_max_deg": 11.4})
    before, after = (
        simulate(rutile(), instrument, one_augmentation(**changes)).intensity[0].argmax() for changes in ({}, change)
    )
    assert (after - before) * instrument.step_deg == pytest.approx(shift_deg, abs=1.5 * instrument.step_deg)
