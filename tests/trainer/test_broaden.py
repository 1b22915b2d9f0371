"""Broadening on the device beside the engine that writes datasets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from curation.crystal import Crystal
from datagen.simulate import native, reference
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import PRESETS, Instrument
from datagen.simulate.parameter import LOW_INDEX
from datagen.simulate.parameters import PARAMETERS, always_stored
from datagen.simulate.sticks import Sticks, compute_sticks
from trainer.data.reflections import Sticks as StoredSticks
from trainer.data.sources import stick_tensors
from trainer.errors import TrainerError
from trainer.simulate import broaden as device
from trainer.simulate import parameters as drawing

N = 6
RANGES = {p.name: p.default for p in always_stored()}
"""The ranges of the paper."""
REALISTIC = {"preset": "realistic", "count": N}


def crystal() -> Crystal:
    """An orthorhombic cell, big enough for some hundred reflections."""
    rng = np.random.default_rng(3)
    return Crystal.canonical(np.diag([4.9, 7.3, 11.2]), ("Ca", "Ti", "O", "O", "Fe"), np.ones(5), rng.random((5, 3)))


def on_device(
    sticks: Sticks, augmentations: Augmentations, *, texture: bool = False
) -> tuple[device.Sticks, drawing.Parameters]:
    members = np.diff(sticks.member_start).astype(np.int32)
    stored = StoredSticks(sticks.two_theta_deg, sticks.intensity, sticks.line.astype(np.uint8))
    if texture:
        more = members, sticks.member_hkl.astype(np.int16), sticks.member_intensity, sticks.reciprocal_metric
        stored = StoredSticks(stored.two_theta_deg, stored.intensity, stored.line, *more)
    columns = augmentations.columns()
    names = drawing.Parameters.__dataclass_fields__
    parameters = drawing.Parameters(**{n: torch.tensor(np.asarray(columns[n], dtype=np.float64)) for n in names})
    return stick_tensors([stored] * len(augmentations)), parameters


@pytest.mark.parametrize("preset", ["alphadiffract", "cu_kalpha", "mo_kalpha"])
@pytest.mark.parametrize("engine", [native.broaden, reference.broaden], ids=["native", "reference"])
@pytest.mark.parametrize("realistic", [False, True], ids=["paper", "realistic"])
def test_the_device_makes_the_engines_pattern_to_one_in_ten_thousand(
    preset: str, engine: Callable[..., object], realistic: bool
) -> None:
    instrument = PRESETS[preset]
    settings = AugmentationSettings(**REALISTIC) if realistic else AugmentationSettings(count=N)
    drawn = draw(settings, 7, "ab" * 16, np.arange(N))
    sticks = compute_sticks(crystal(), instrument)
    wanted = engine(sticks, instrument, drawn)
    wanted = wanted[0] if isinstance(wanted, tuple) else np.asarray(wanted)
    inputs = on_device(sticks, drawn, texture=realistic)
    found = device.broaden(*inputs, drawing.Instrument.of_attributes(instrument.model_dump(mode="json"))).numpy()
    worst = (np.abs(found - wanted).max(axis=1) / wanted.max(axis=1)).max()
    assert worst < 1e-4


def test_sharp_peaks_at_low_angles_agree_too() -> None:
    instrument = PRESETS["alphadiffract"]
    drawn = Augmentations.of(
        microstrain=[500.0, 500.0], crystallite_size_um=[1.0, 1.0], U_cdeg2=[0.0, 3.0], V_cdeg2=[-1.0, -1.0],
        W_cdeg2=[0.0, 0.0],
    )  # fmt: skip
    sticks = compute_sticks(crystal(), instrument)
    wanted = reference.broaden(sticks, instrument, drawn)
    found = device.broaden(*on_device(sticks, drawn), drawing.Instrument.of_attributes(instrument.model_dump())).numpy()
    assert (np.abs(found - wanted).max(axis=1) / wanted.max(axis=1)).max() < 1e-4


def test_a_batch_of_different_crystals_is_each_alone() -> None:
    instrument = drawing.Instrument((0.62,), 0.002, 5.0, 20.0, 512)
    rng = np.random.default_rng(0)
    stored = [
        StoredSticks(np.sort(rng.uniform(5, 20, n)), rng.random(n), np.zeros(n, dtype=np.uint8))
        for n in (3, 700, 1, 40)
    ]
    generator = torch.Generator().manual_seed(0)
    parameters = drawing.draw_parameters(drawing.Augmentation(RANGES), 4, torch.device("cpu"), generator)
    together = device.broaden(stick_tensors(stored), parameters, instrument)
    for i, sticks in enumerate(stored):
        own = drawing.Parameters(
            **{n: getattr(parameters, n)[i : i + 1] for n in drawing.Parameters.__dataclass_fields__}
        )
        alone = device.broaden(stick_tensors([sticks]), own, instrument)
        assert torch.allclose(together[i], alone[0], rtol=1e-5, atol=1e-6)


def test_parameters_are_drawn_from_their_ranges() -> None:
    ranges = {**RANGES, "march_r": (0.4, 2.5), "impurity_peaks": (1, 3)}
    drawn = drawing.draw_parameters(
        drawing.Augmentation(ranges), 20_000, torch.device("cpu"), torch.Generator().manual_seed(1)
    )
    for name, (low, high) in RANGES.items():
        values = getattr(drawn, name)
        assert low <= values.min() <= values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert (drawn.X_cdeg == 0).all()
    assert drawn.march_r.log().mean().item() == pytest.approx(np.log(0.4 * 2.5) / 2, abs=0.01)
    counts = (drawn.impurity_height > 0).sum(dim=1)
    np.testing.assert_allclose(np.bincount(counts)[1:] / 20_000, 1 / 3, atol=0.02)
    assert len(drawn.march_hkl.unique(dim=0)) == 13


def test_probabilities_are_those_of_the_engine() -> None:
    """Every effect: the same share of patterns without it, with the same values, as in draws of the engine."""
    n = 4000
    shares = {p.name: 0.1 + 0.04 * i for i, p in enumerate(p for p in PARAMETERS if p.is_augmentation)}
    widened = {"impurity_peaks": (1, 4), "X_cdeg": (0.0, 2.0), "Y_cdeg": (0.0, 5.0)}
    settings = AugmentationSettings(preset="measured", count=N, probability=shares, **widened)
    stated = {"configuration": {"simulation": {"augmentation": settings.model_dump(mode="json")}}}
    augmentation = drawing.Augmentation.of_attributes(stated)
    assert augmentation.probability == pytest.approx(shares)
    found = drawing.draw_parameters(augmentation, n, torch.device("cpu"), torch.Generator().manual_seed(2), 95)
    wanted = draw(settings, 0, "ab" * 16, np.arange(n)).columns()
    counted = {"impurity_peaks": "impurity_height", "second_phases": "phase_fraction"}
    for name, share in shares.items():
        if name in counted:
            wanted[name] = (wanted[counted[name]] > 0).sum(axis=1)
        values = (getattr(found, counted[name]) > 0).sum(dim=1) if name in counted else getattr(found, name)
        neutral = drawing.NEUTRAL[name][0]
        for drawn in (values.numpy(), wanted[name]):
            assert np.mean(drawn != neutral) == pytest.approx(share, abs=0.03)
        np.testing.assert_allclose(
            np.quantile(values.numpy(), [0.02, 0.5, 0.98]),
            np.quantile(wanted[name], [0.02, 0.5, 0.98]),
            atol=0.05 * np.ptp(wanted[name]),
        )


def test_preferred_planes_are_those_of_the_engine() -> None:
    np.testing.assert_array_equal(drawing.PREFERRED_PLANES, LOW_INDEX)


def test_the_trainer_knows_every_parameter_and_its_value_without_effect() -> None:
    """The trainer imports nothing of the generator, and a dataset states neither."""
    assert list(drawing.Parameters.__dataclass_fields__) == [p.name for p in PARAMETERS if p.stored]
    leading = {p.name: p.neutral for p in PARAMETERS if p.is_augmentation}
    assert {name: drawing.NEUTRAL[name] for name in leading} == {name: (v, v) for name, v in leading.items()}


def test_ranges_are_those_that_the_dataset_states() -> None:
    settings = AugmentationSettings(**REALISTIC)
    stated = {"configuration": {"simulation": {"augmentation": settings.model_dump(mode="json")}}}
    augmentation = drawing.Augmentation.of_attributes(stated)
    ranges = augmentation.ranges
    assert augmentation.probability == {}
    assert {p.name for p in PARAMETERS if p.default is not None} == set(ranges)
    assert ranges["march_r"] == settings.march_r
    with pytest.raises(TrainerError, match="vary in porosity, which this version"):
        drawing.Augmentation.of_attributes(
            {**stated, "layout": {"extra_augmentations": ["march_r", "march_hkl", "porosity"]}}
        )


def test_an_instrument_that_is_not_described_is_refused() -> None:
    with pytest.raises(TrainerError, match="do not describe its instrument"):
        drawing.Instrument.of_attributes({"lines": [{"wavelength_A": 1.5}]})
    assert isinstance(Instrument.preset("alphadiffract"), Instrument)
