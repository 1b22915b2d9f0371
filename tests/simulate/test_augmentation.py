"""Ranges, presets and draws."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from pydantic import ValidationError

from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw, effective
from datagen.simulate.parameter import LOW_INDEX
from datagen.simulate.parameters import PARAMETERS

TABLE_5 = {
    "microstrain": (500, 10_000),
    "crystallite_size_um": (0.1, 1),
    "U_cdeg2": (0, 3),
    "V_cdeg2": (-1, 0),
    "W_cdeg2": (0, 4),
}


def test_the_default_preset_is_the_papers_table() -> None:
    settings = AugmentationSettings()
    assert settings.count == 100
    assert {name: getattr(settings, name) for name in TABLE_5} == TABLE_5


def test_the_papers_preset_changes_nothing_but_widths() -> None:
    a = draw(AugmentationSettings(), 0, "h", range(100))
    for name in ("X_cdeg", "Y_cdeg", "zero_shift_deg", "displacement_um", "hump_height"):
        assert not getattr(a, name).any()
    assert not a.impurity_height.any()
    assert (a.march_r == 1).all()


@pytest.mark.parametrize("name", TABLE_5)
def test_draws_fill_their_range_uniformly(name: str) -> None:
    low, high = TABLE_5[name]
    values = getattr(draw(AugmentationSettings(), 0, "h", range(20_000)), name)
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() < high
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))


def test_the_realistic_preset_keeps_the_papers_draws_and_adds_its_own() -> None:
    paper, realistic = (
        draw(AugmentationSettings(preset=p), 0, "h", range(500)) for p in ("alphadiffract", "realistic")
    )  # type: ignore[arg-type]
    for name in TABLE_5:
        np.testing.assert_array_equal(getattr(paper, name), getattr(realistic, name))
    assert np.log(realistic.march_r).mean() == pytest.approx(0, abs=0.1)
    assert realistic.march_r.min() < 0.45
    assert realistic.march_r.max() > 2.2
    assert len(np.unique(realistic.march_hkl, axis=0)) == len(LOW_INDEX) == 13
    assert set(np.count_nonzero(realistic.impurity_height, axis=1)) == {0, 1, 2, 3, 4}
    assert realistic.impurity_height.max() < 0.05


def test_an_augmentation_alone_is_the_same_as_among_a_hundred() -> None:
    settings = AugmentationSettings(preset="realistic")
    hundred, alone = draw(settings, 9, "h", range(100)), draw(settings, 9, "h", [37])
    for name, values in hundred.columns().items():
        np.testing.assert_array_equal(values[37:38], alone.columns()[name], err_msg=name)


def test_probabilities_take_effects_from_some_patterns_and_move_no_other_draw() -> None:
    shares = {"X_cdeg": 0.2, "zero_shift_deg": 0.0, "march_r": 0.5, "impurity_peaks": 0.7, "hump_height": 0.3}
    everywhere = draw(AugmentationSettings(preset="realistic"), 0, "h", range(4000)).columns()
    some = draw(AugmentationSettings(preset="realistic", probability=shares), 0, "h", range(4000)).columns()
    parts = {"march_r": ["march_hkl"], "hump_height": ["hump_d_A", "hump_fwhm_deg"]}
    parts["impurity_peaks"] = ["impurity_height", "impurity_position"]
    touched = {"X_cdeg", "zero_shift_deg", "march_r", "hump_height", *chain(*parts.values())}
    for name in everywhere.keys() - touched:
        np.testing.assert_array_equal(some[name], everywhere[name], err_msg=name)
    table = {p.name: p for p in PARAMETERS}
    for name, share in shares.items():
        shown = name if table[name].stored else parts[name][0]
        neutral = table[shown].neutral_values(4000)
        flat = (4000, -1)
        absent = (some[shown] == neutral).reshape(flat).all(axis=1)
        already = (everywhere[shown] == neutral).reshape(flat).all(axis=1)
        assert 1 - absent[~already].mean() == pytest.approx(share, abs=0.03)
        for part in {shown, *parts.get(name, [])}:
            np.testing.assert_array_equal(some[part][absent], table[part].neutral_values(int(absent.sum())))
            np.testing.assert_array_equal(some[part][~absent], everywhere[part][~absent])
    # One effect does not decide over another.
    textured, humped = some["march_r"] != 1, some["hump_height"] > 0
    assert np.mean(textured & humped) == pytest.approx(0.15, abs=0.03)


def test_an_effect_of_no_probability_is_not_stored() -> None:
    settings = AugmentationSettings(preset="realistic", probability={"march_r": 0, "hump_height": 0})
    names = {p.name for p in effective(settings)}
    assert names == {"X_cdeg", "Y_cdeg", "zero_shift_deg", "displacement_um", "impurity_height", "impurity_position"}


def test_given_fields_replace_the_presets() -> None:
    settings = AugmentationSettings(preset="realistic", march_r=(1, 1), microstrain=(100, 100))
    a = draw(settings, 0, "h", range(3))
    np.testing.assert_array_equal(a.march_r, 1)
    np.testing.assert_array_equal(a.microstrain, 100)
    assert a.hump_height.any()


def test_planes_of_preferred_orientation_come_once_per_friedel_pair() -> None:
    rows = {tuple(row) for row in LOW_INDEX.tolist()}
    assert len(rows) == 13
    assert not any(tuple(-i for i in row) in rows for row in rows)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"microstrain": (2, 1)}, "0 <= minimum <= maximum"),
        ({"microstrain": (-1, 1)}, "0 <= minimum <= maximum"),
        ({"crystallite_size_um": (0, 1)}, "0 < minimum <= maximum"),
        ({"W_cdeg2": (0, float("inf"))}, "finite number"),
        ({"U_cdeg2": (1, 0)}, "(minimum, maximum)"),
        ({"impurity_peaks": (0, 9)}, "impurity_peaks"),
        ({"microstrian": (1, 2)}, "Extra inputs"),
        ({"probability": {"march_r": 1.5}}, "less than or equal to 1"),
        ({"probability": {"microstrain": 0.5}}, "Extra inputs"),
        ({"count": 0}, "greater than or equal to 1"),
    ],
)
def test_unusable_ranges_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AugmentationSettings(**given)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        AugmentationSettings().count = 5  # type: ignore[misc]


def test_given_values_leave_everything_else_without_effect() -> None:
    a = Augmentations.of(microstrain=[1], crystallite_size_um=[1], U_cdeg2=[0], V_cdeg2=[0], W_cdeg2=[1])
    assert len(a) == 1
    assert a.march_r[0] == 1
    assert not a.impurity_height.any()
    assert all(values.shape[0] == 1 for values in a.columns().values())
