"""The compiled kernel against the plain float64 reference: within 1e-5 of every pattern's maximum, usually 1e-6."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.simulate import native, reference
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.patterns import diagnose
from datagen.simulate.sticks import Sticks, compute_sticks
from tests.simulate.crystals import one_augmentation, rock_salt, rutile, silicon, triclinic, zincblende

PAPER = Instrument.preset("alphadiffract")
TOLERANCE = 1e-5


def _error(sticks: Sticks, instrument: Instrument, augmentations: Augmentations) -> float:
    expected = reference.broaden(sticks, instrument, augmentations)
    found, maximum = native.broaden(sticks, instrument, augmentations)
    top = expected.max(axis=1)
    np.testing.assert_allclose(maximum, top, rtol=TOLERANCE)
    np.testing.assert_array_equal(maximum, found.max(axis=1))
    return float((np.abs(found - expected).max(axis=1) / top).max())


def _sticks(two_theta_deg: list[float], intensity: list[float]) -> Sticks:
    n = len(two_theta_deg)
    return Sticks(
        np.array(two_theta_deg),
        np.array(intensity),
        np.zeros(n, dtype=np.int64),
        np.tile(np.array([[1, 0, 0]], dtype=np.int32), (n, 1)),
        np.array(intensity),
        np.arange(n + 1),
        np.eye(3),
    )


@pytest.mark.parametrize("preset", ["alphadiffract", "realistic"])
@pytest.mark.parametrize("make", [silicon, rock_salt, zincblende, rutile, triclinic])
def test_drawn_patterns_match_the_reference(make, preset) -> None:  # type: ignore[no-untyped-def]
    crystal = make()
    augmentations = draw(AugmentationSettings(preset=preset), 1, crystal.structure_hash(), range(20))
    assert _error(compute_sticks(crystal, PAPER), PAPER, augmentations) < TOLERANCE


@pytest.mark.parametrize("name", ["cu_kalpha1", "cu_kalpha", "mo_kalpha"])
def test_other_instruments_match_the_reference(name: str) -> None:
    instrument = Instrument.preset(name)
    augmentations = draw(AugmentationSettings(preset="realistic"), 2, "a", range(5))
    assert _error(compute_sticks(rutile(), instrument), instrument, augmentations) < TOLERANCE


@pytest.mark.parametrize("sh_over_l", [0.0, 0.002, 0.01, 0.05])
def test_axial_divergence_of_many_terms_matches_the_reference(sh_over_l: float) -> None:
    instrument = Instrument.preset("cu_kalpha1").model_copy(
        update={"sh_over_l": sh_over_l, "two_theta_min_deg": 5.0, "two_theta_max_deg": 150.0, "n_points": 20_000}
    )
    narrow = one_augmentation(microstrain=100.0, crystallite_size_um=3.0)
    assert _error(compute_sticks(silicon(), instrument), instrument, narrow) < TOLERANCE


@pytest.mark.parametrize("n_points", [2, 31, 256, 257, 1000, 8191, 30_000])
def test_any_number_of_points_will_do(n_points: int) -> None:
    instrument = PAPER.model_copy(update={"n_points": n_points})
    augmentations = draw(AugmentationSettings(), 3, "b", range(5))
    assert _error(compute_sticks(triclinic(), instrument), instrument, augmentations) < TOLERANCE


@given(
    centres=st.lists(st.floats(5.0, 20.0), min_size=1, max_size=8),
    width=st.floats(-3.0, 4.0),
    strain=st.floats(0.0, 5.0),
    shift=st.floats(-1.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_any_widths_and_places_match_the_reference(
    centres: list[float], width: float, strain: float, shift: float
) -> None:
    """From the floor, a tenth of a step wide, to peaks as wide as the range, and shifted off its ends."""
    augmentations = one_augmentation(
        U_cdeg2=0.0, V_cdeg2=0.0, W_cdeg2=10.0**width, microstrain=10.0**strain, zero_shift_deg=shift
    )
    sticks = _sticks(sorted(centres), [1.0 + i for i in range(len(centres))])
    expected = reference.broaden(sticks, PAPER, augmentations)
    found, _ = native.broaden(sticks, PAPER, augmentations)
    # Measured by the peaks' height inside the range, since next to nothing may be left of them.
    inside = reference.broaden(sticks, PAPER, augmentations.changed(zero_shift_deg=np.zeros(1)))
    # Where a peak is a tenth of a step wide, its height at the nearest point hangs on the last digit of its place.
    assert np.abs(found - expected).max() < inside.max() * (TOLERANCE if width > -1 else 1e-3)


def test_diagnostics_counted_while_broadening_are_those_of_the_formulas() -> None:
    instrument = Instrument.preset("cu_kalpha")
    augmentations = draw(AugmentationSettings(V_cdeg2=(-6.0, 0.0)), 4, "c", range(10))
    patterns = native.simulate(triclinic(), instrument, augmentations)
    expected = diagnose(patterns.sticks, instrument, augmentations)
    assert expected.n_variance_floor.any()
    assert (expected.overlap > 0).all()
    for field in dataclasses.fields(expected):
        np.testing.assert_allclose(
            getattr(patterns.diagnostics, field.name), getattr(expected, field.name), rtol=1e-6, err_msg=field.name
        )


def test_patterns_do_not_depend_on_which_are_asked_for_together() -> None:
    crystal = triclinic()
    augmentations = draw(AugmentationSettings(preset="realistic"), 5, "d", range(12))
    together = native.simulate(crystal, PAPER, augmentations).intensity
    alone = native.simulate(crystal, PAPER, augmentations[np.array([7])]).intensity
    np.testing.assert_array_equal(together[7], alone[0])


def test_a_pattern_is_never_negative() -> None:
    for seed in range(5):
        crystal = triclinic(seed=seed)
        augmentations = draw(AugmentationSettings(preset="realistic"), seed, "e", range(20))
        intensity = native.simulate(crystal, PAPER, augmentations).intensity
        assert intensity.dtype == np.float32
        assert np.isfinite(intensity).all()
        assert (intensity >= 0).all()


def test_the_area_under_a_pattern_is_that_of_its_sticks() -> None:
    sticks = _sticks([12.0, 13.0], [3.0, 1.0])
    out, _ = native.broaden(sticks, PAPER, one_augmentation())
    # A Lorentzian cut at 50 and 75 FWHM lacks 0.5 %.
    assert out.sum(dtype=np.float64) * PAPER.step_deg == pytest.approx(4.0, rel=0.008)
