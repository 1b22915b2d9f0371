"""Effects of the preset `measured` against formulas, integrals and scans' own routine."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from datagen.config.settings import SimulationSettings
from datagen.errors import EngineError
from datagen.simulate import native
from datagen.simulate.areas import hewat, suortti
from datagen.simulate.augmentation import AugmentationSettings, draw, effective
from datagen.simulate.background import SNIP_COUNTS
from datagen.simulate.gsas2.engine import simulate as gsas2
from datagen.simulate.instrument import PRESETS
from datagen.simulate.parameters import PARAMETERS
from tests.simulate.crystals import one_augmentation, rutile
from trainer.scans.bring import snip

LABORATORY = PRESETS["cu_kalpha"].model_copy(update={"n_points": 4096})
PAPER = PRESETS["alphadiffract"]
CLEAN = native.simulate(rutile(), LABORATORY, one_augmentation())


def test_the_preset_is_a_range_and_a_share_of_every_effect() -> None:
    settings = AugmentationSettings(preset="measured", probability={"march_r": 0.9})
    assert settings.strain_isotropic == (-0.008, 0.008)
    assert settings.probability.second_phases == 0.3
    assert settings.probability.march_r == 0.9  # what is given replaces the preset's, the others stay
    off = {"X_cdeg", "Y_cdeg"}
    names = {p.name for p in effective(settings)}
    assert names == {p.name for p in PARAMETERS if p.stored and p.neutral is not None} - off


def test_presets_of_the_paper_and_realistic_have_no_effect_of_these() -> None:
    """Their configuration, and so their patterns, are what they were."""
    new = {p.name for p in PARAMETERS if p.slot >= 39}
    for preset in ("alphadiffract", "realistic"):
        settings = AugmentationSettings(preset=preset)
        assert not new & {p.name for p in effective(settings)}


def test_displacement_lowers_intensities_by_the_debye_waller_factor() -> None:
    made = native.simulate(rutile(), LABORATORY, one_augmentation(overall_B_A2=2.0))
    for angle, d in ((27.44, 3.2482), (69.0, 1.3598)):
        near = np.abs(LABORATORY.two_theta_deg - angle) < 0.3
        ratio = made.intensity[0][near].max() / CLEAN.intensity[0][near].max()
        assert ratio == pytest.approx(np.exp(-2 * 2.0 / (4 * d**2)), rel=3e-3)


def test_without_its_further_lines_a_tube_is_monochromatic() -> None:
    made = native.simulate(rutile(), LABORATORY, one_augmentation(further_lines=0.0))
    lines = (LABORATORY.lines[0],)
    expected = native.simulate(rutile(), LABORATORY.model_copy(update={"lines": lines}), one_augmentation())
    np.testing.assert_allclose(made.intensity, expected.intensity, atol=2e-6 * expected.maximum[0])


def test_needles_narrow_the_lines_along_their_axis() -> None:
    needles = one_augmentation(crystallite_size_um=0.01, size_ratio=4.0, microstrain=0.0)
    needles = needles.changed(size_hkl=np.array([[0, 0, 1]]))
    spheres = one_augmentation(crystallite_size_um=0.01, microstrain=0.0)
    widths = {}
    for name, drawn in (("needles", needles), ("spheres", spheres)):
        pattern = native.simulate(rutile(), LABORATORY, drawn).intensity[0]
        for hkl, angle in (("110", 27.44), ("002", 62.77)):
            near = np.abs(LABORATORY.two_theta_deg - angle) < 0.5
            widths[name, hkl] = pattern[near].max()
    # 110 lies across the needle and keeps its width; 002 lies along it and gets sharper and higher.
    assert widths["needles", "110"] == pytest.approx(widths["spheres", "110"], rel=0.02)
    assert widths["needles", "002"] > 1.5 * widths["spheres", "002"]


def test_hewats_formula_is_the_integral_over_a_cylinder() -> None:
    """Mean of exp(-mu (path in + path out)) over the disc, against the formula, both relative to theta = 0."""
    edge = np.linspace(-1, 1, 401)
    x, y = (axis.ravel() for axis in np.meshgrid(edge, edge))
    inside = x**2 + y**2 < 1
    x, y = x[inside], y[inside]

    def path(direction: tuple[float, float]) -> NDArray[np.float64]:
        along = x * direction[0] + y * direction[1]
        return np.asarray(-along + np.sqrt(along**2 + 1 - x**2 - y**2))

    def transmitted(mu_r: float, theta: float) -> float:
        out = path((np.cos(2 * theta), np.sin(2 * theta)))
        return float(np.exp(-mu_r * (path((-1.0, 0.0)) + out)).mean())

    for mu_r in (0.3, 0.7, 1.0):
        for theta in np.radians([15.0, 30.0, 45.0]):
            exact = transmitted(mu_r, theta) / transmitted(mu_r, 0.0)
            assert hewat(np.sin(theta), np.array(mu_r)) == pytest.approx(exact, rel=0.012)


def test_a_rough_surface_takes_intensity_at_low_angles_only() -> None:
    sine = np.sin(np.radians([2.0, 10.0, 90.0]))
    found = suortti(sine, np.array(0.4), np.array(0.1))
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(1.0)
    assert suortti(sine, np.array(0.0), np.array(0.1)).tolist() == [1.0, 1.0, 1.0]


def test_each_effect_of_a_geometry_leaves_the_other_alone() -> None:
    rough, absorbing = one_augmentation(roughness=0.5), one_augmentation(absorption_mu_r=0.9)
    np.testing.assert_array_equal(native.simulate(rutile(), LABORATORY, absorbing).intensity, CLEAN.intensity)
    plain = native.simulate(rutile(), PAPER, one_augmentation()).intensity
    np.testing.assert_array_equal(native.simulate(rutile(), PAPER, rough).intensity, plain)
    assert not np.array_equal(native.simulate(rutile(), PAPER, absorbing).intensity, plain)


def test_backgrounds_have_the_heights_they_were_given() -> None:
    drawn = one_augmentation(background_height=0.2, air_height=0.5, air_decay_deg=5.0, second_hump_height=0.1)
    drawn = drawn.changed(background_chebyshev=np.array([[0.3, -0.1, 0.2]]))
    made = native.simulate(rutile(), LABORATORY, drawn)
    extra = (made.intensity[0] - CLEAN.intensity[0]) / CLEAN.maximum[0]
    x = np.linspace(-1, 1, LABORATORY.n_points)
    smooth = 0.2 * np.polynomial.chebyshev.chebval(x, [1.0, 0.3, -0.1, 0.2])
    air = 0.5 * np.exp(-(LABORATORY.two_theta_deg - 10.0) / 5.0)
    centre = 2 * np.degrees(np.arcsin(1.5405929 / 2 / 2.2))
    hump = 0.1 * np.exp(-4 * np.log(2) * ((LABORATORY.two_theta_deg - centre) / 8.0) ** 2)
    np.testing.assert_allclose(extra, smooth + air + hump, atol=2e-6)
    assert made.maximum[0] == made.intensity[0].max()


def test_a_background_is_subtracted_as_that_of_a_scan() -> None:
    """The routine of measured scans, at the scale of counts; its residue stays, what is negative is cut."""
    raised = one_augmentation(background_height=0.2, air_height=0.3)
    before = native.simulate(rutile(), LABORATORY, raised).intensity[0].astype(np.float64)
    made = native.simulate(rutile(), LABORATORY, raised.changed(background_window=np.array([0.025]))).intensity[0]
    counts = before / before.max() * SNIP_COUNTS
    expected = np.maximum(counts - snip(counts, LABORATORY.n_points // 40), 0.0)
    np.testing.assert_allclose(made / before.max() * SNIP_COUNTS, expected, atol=1e-2)
    residue = (made - CLEAN.intensity[0]) / CLEAN.maximum[0]
    assert made.min() == 0.0
    assert 1e-4 < np.abs(residue).max() < 0.1


def test_gsas2_is_not_asked_for_what_only_the_native_engine_has() -> None:
    with pytest.raises(ValidationError, match=r"augmentation\.overall_B_A2: expected no effect, since GSAS-II"):
        SimulationSettings.model_validate({"engine": "gsas2", "augmentation": {"overall_B_A2": (0, 1)}})
    with pytest.raises(EngineError, match="GSAS-II is not asked for strain_isotropic"):
        gsas2(rutile(), LABORATORY, one_augmentation(strain_isotropic=0.01))
    backgrounds = {"background_height": (0, 0.1), "air_height": (0, 0.1), "background_window": (0.02, 0.03)}
    SimulationSettings.model_validate({"engine": "gsas2", "augmentation": backgrounds})


def test_sticks_alone_do_not_give_a_strained_pattern() -> None:
    with pytest.raises(ValueError, match="expected the crystal, found sticks only"):
        native.broaden(CLEAN.sticks, LABORATORY, one_augmentation(strain_isotropic=0.01))


def test_a_strain_beyond_a_tenth_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"-0\.1 <= minimum <= maximum <= 0\.1"):
        AugmentationSettings(strain_isotropic=(0.0, 0.5))


def test_draws_of_these_effects_fill_their_ranges() -> None:
    settings = AugmentationSettings(preset="measured")
    drawn = draw(settings, 0, "h", range(4000)).columns()
    for name, share in (("overall_B_A2", 0.7), ("size_ratio", 0.3), ("air_height", 0.6), ("background_window", 0.5)):
        table = {p.name: p for p in PARAMETERS}[name]
        assert np.mean(drawn[name] != table.neutral) == pytest.approx(share, abs=0.03)
        low, high = getattr(settings, name)
        present = drawn[name][drawn[name] != table.neutral]
        assert low <= present.min() <= low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) <= present.max() <= high
