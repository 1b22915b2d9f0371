"""Second phases: their library, their scale and their draws."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

import datagen
from curation.atoms import cell_matrix
from curation.crystal import Crystal
from datagen.inspect.replay import replay
from datagen.share.subset import Selection, subset
from datagen.simulate import native
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw, effective
from datagen.simulate.instrument import PRESETS
from datagen.simulate.phase_library import FILE, N_PHASES, density_g_cm3, library, main
from datagen.simulate.sticks import compute_sticks
from tests.datagen.small_runs import write_cifs
from trainer import PatternDataset

INSTRUMENT = PRESETS["cu_kalpha1"]
WIDTHS = {"microstrain": [900.0], "crystallite_size_um": [0.3], "U_cdeg2": [1.0], "V_cdeg2": [0.0], "W_cdeg2": [2.0]}
MIXED = AugmentationSettings(preset="realistic", second_phases=(0, 3))


def number_of(name: str) -> int:
    return next(i for i, phase in enumerate(library()) if phase.name == name)


def corundum() -> Crystal:
    """Cell and coordinates of Lewis, Schwarzenbach & Flack, Acta Cryst. A38 (1982) 733."""
    z, x = 0.35216, 0.30624
    aluminium = [(0, 0, z), (0, 0, 0.5 - z), (0, 0, -z), (0, 0, 0.5 + z)]
    oxygen = [(x, 0, 0.25), (0, x, 0.25), (-x, -x, 0.25), (-x, 0, 0.75), (0, -x, 0.75), (x, x, 0.75)]
    centring = np.array([(0, 0, 0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)])
    xyz = np.concatenate([np.array(aluminium + oxygen) + shift for shift in centring])
    species = ["Al"] * 4 + ["O"] * 6
    return Crystal.canonical(cell_matrix(4.7602, 4.7602, 12.9933, 90, 90, 120), species * 3, np.ones(30), xyz, 0.004)


def mixture(fractions: list[float], names: list[str]) -> Augmentations:
    n = len(fractions)
    return Augmentations.of(
        **WIDTHS,
        phase_fraction=np.array([fractions + [0.0] * (3 - n)]),
        phase_number=np.array([[number_of(name) for name in names] + [-1] * (3 - n)]),
        phase_microstrain=np.array([[3000.0] * n + [0.0] * (3 - n)]),
        phase_size_um=np.array([[0.15] * n + [0.0] * (3 - n)]),
    )


def alone(crystal: Crystal, **other: list[float]) -> NDArray[np.float32]:
    return native.simulate(crystal, INSTRUMENT, Augmentations.of(**{**WIDTHS, **other})).intensity


def test_the_library_is_pinned_under_its_name() -> None:
    """Datasets name the library and not its content: another content needs another name."""
    assert hashlib.sha256(FILE.read_bytes()).hexdigest()[:16] == "d5e9476545c4424d"
    assert AugmentationSettings().phase_library == "bundled-1"
    assert len(library()) == N_PHASES == len({phase.name for phase in library()})


def test_the_library_is_what_curation_makes_of_the_bundled_crystals(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert capsys.readouterr().out == FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "density"), [("quartz", 2.65), ("halite", 2.165), ("copper", 8.94), ("barite", 4.48), ("rutile", 4.25)]
)
def test_densities_are_those_of_handbooks(name: str, density: float) -> None:
    assert library()[number_of(name)].density_g_cm3 == pytest.approx(density, rel=0.01)


@pytest.mark.parametrize(("name", "ratio"), [("zincite", 5.17), ("rutile", 3.39)])
def test_equal_weights_give_the_certified_reference_intensity_ratios(name: str, ratio: float) -> None:
    """The strongest line of the phase over corundum (113): NIST SRM 674, International Tables C, table 5.2.11.1.

    Measured to 4 %; the displacements of the library are estimates.
    """
    crystal, phase = corundum(), library()[number_of(name)]
    sticks = compute_sticks(crystal, INSTRUMENT)
    corundum_113 = sticks.intensity[np.argmin(abs(sticks.two_theta_deg - 43.35))] / density_g_cm3(crystal)
    strongest = compute_sticks(phase.crystal, INSTRUMENT).intensity.max() / phase.density_g_cm3
    assert strongest / corundum_113 == pytest.approx(ratio, rel=0.08)


def test_a_mixture_is_the_sum_of_volumes_with_widths_of_their_own() -> None:
    """Weights 0.7, 0.2 and 0.1: volumes are weights over densities; the scale is that of the crystal alone."""
    crystal = corundum()
    mixed = native.simulate(crystal, INSTRUMENT, mixture([0.2, 0.1], ["quartz", "halite"]))
    expected = alone(crystal).astype(np.float64)
    for fraction, name in ((0.2, "quartz"), (0.1, "halite")):
        phase = library()[number_of(name)]
        pattern = alone(phase.crystal, microstrain=[3000.0], crystallite_size_um=[0.15])
        expected += fraction / 0.7 * density_g_cm3(crystal) / phase.density_g_cm3 * pattern
    np.testing.assert_allclose(mixed.intensity, expected, atol=2e-6 * expected.max())
    assert mixed.maximum == mixed.intensity.max(axis=1)
    # What belongs to the crystal stays its own.
    plain = native.simulate(crystal, INSTRUMENT, Augmentations.of(**WIDTHS))
    np.testing.assert_array_equal(mixed.sticks.intensity, plain.sticks.intensity)
    np.testing.assert_array_equal(mixed.diagnostics.overlap, plain.diagnostics.overlap)


def test_the_same_phase_twice_is_the_sum_of_its_fractions() -> None:
    crystal = corundum()
    twice = native.simulate(crystal, INSTRUMENT, mixture([0.1, 0.1], ["quartz", "quartz"])).intensity
    once = native.simulate(crystal, INSTRUMENT, mixture([0.2], ["quartz"])).intensity
    np.testing.assert_allclose(twice, once, atol=2e-6 * once.max())


def test_a_phase_without_a_reflection_in_the_range_adds_nothing() -> None:
    """Of alpha iron the range ends before the first line."""
    instrument = INSTRUMENT.model_copy(update={"two_theta_max_deg": 40.0})
    mixed = native.simulate(corundum(), instrument, mixture([0.2], ["iron"])).intensity
    plain = native.simulate(corundum(), instrument, Augmentations.of(**WIDTHS)).intensity
    np.testing.assert_array_equal(mixed, plain)


def test_sticks_alone_do_not_give_a_mixture() -> None:
    sticks = compute_sticks(corundum(), INSTRUMENT)
    with pytest.raises(ValueError, match="expected the crystal, found sticks only"):
        native.broaden(sticks, INSTRUMENT, mixture([0.2], ["quartz"]))


def test_draws_fill_their_ranges_and_move_no_other() -> None:
    n = 6000
    mixed = draw(MIXED, 0, "h", range(n)).columns()
    plain = draw(AugmentationSettings(preset="realistic"), 0, "h", range(n)).columns()
    for name in plain:
        if not name.startswith("phase_"):
            np.testing.assert_array_equal(mixed[name], plain[name], err_msg=name)
    assert not plain["phase_fraction"].any()
    count = (mixed["phase_fraction"] > 0).sum(axis=1)
    np.testing.assert_allclose(np.bincount(count) / n, 0.25, atol=0.03)
    present = mixed["phase_fraction"] > 0
    np.testing.assert_array_equal(present, mixed["phase_number"] >= 0)
    fractions = mixed["phase_fraction"][present]
    assert 0.005 <= fractions.min() < 0.0052
    assert 0.195 < fractions.max() <= 0.2
    assert np.log(fractions).mean() == pytest.approx(np.log(0.005 * 0.2) / 2, abs=0.03)
    assert set(mixed["phase_number"][present]) == set(range(N_PHASES))
    assert mixed["phase_number"].dtype == np.int64
    for name, (low, high) in {"phase_microstrain": (500, 10_000), "phase_size_um": (0.1, 1.0)}.items():
        assert low <= mixed[name][present].min() < mixed[name][present].max() <= high
        assert not mixed[name][~present].any()


def test_a_pattern_alone_is_the_same_as_among_others() -> None:
    crystal = corundum()
    drawn = draw(MIXED, 3, crystal.structure_hash(), range(12))
    together = native.simulate(crystal, INSTRUMENT, drawn).intensity
    for i in range(12):
        separate = native.simulate(crystal, INSTRUMENT, drawn[np.array([i])]).intensity
        np.testing.assert_array_equal(together[i], separate[0])


def test_a_run_stores_which_phases_and_how_much_of_them(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite"])
    augmentation = {"count": 6, "second_phases": [1, 3], "phase_fraction": [0.05, 0.2]}
    simulation = {"augmentation": augmentation, "instrument": "cu_kalpha1"}
    out = tmp_path / "out.zarr"
    datagen.run({"catalog": [{"kind": "folder", "path": str(cifs)}], "simulation": simulation}, out, cluster="inline")
    row = datagen.open_dataset(out).isel(structure=0)
    names = row["phase_number"].attrs["flag_meanings"].split()
    assert names == [phase.name for phase in library()]
    drawn = draw(AugmentationSettings(**augmentation), 0, str(row["structure_hash"].values), range(6))
    np.testing.assert_array_equal(row["phase_number"], drawn.phase_number)
    np.testing.assert_array_equal(row["phase_fraction"], drawn.phase_fraction)
    assert replay(out, str(row["source_id"].values), 4).difference_steps == 0
    # Foreign lines where halite has none.
    crystal = datagen.curate(next(cifs.glob("*.cif"))).crystal
    plain = native.simulate(crystal, INSTRUMENT, draw(AugmentationSettings(), 0, crystal.structure_hash(), range(6)))
    added = row["pattern"].values * row["pattern_max"].values[:, None] - plain.intensity
    assert (added.max(axis=1) > 1e-3 * plain.maximum).all()
    assert (added.min(axis=1) > -2e-4 * plain.maximum).all()
    # A smaller dataset keeps the meanings.
    subset(out, tmp_path / "less.zarr", Selection(patterns=3))
    assert datagen.open_dataset(tmp_path / "less.zarr")["phase_number"].attrs == row["phase_number"].attrs
    # From sticks, the trainer takes phases from the structures of the dataset: halite in halite is halite.
    mixed = PatternDataset(out, split=None, input="sticks", seed=1)[0]["pattern"]
    assert mixed.max() == 1


def test_second_phases_are_stored_only_if_they_are_drawn() -> None:
    names = {"phase_fraction", "phase_number", "phase_microstrain", "phase_size_um"}
    assert not names & {p.name for p in effective(AugmentationSettings(preset="realistic"))}
    assert names <= {p.name for p in effective(MIXED)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"second_phases": (0, 4)}, "0 <= minimum <= maximum <= 3"),
        ({"phase_fraction": (0.1, 0.5)}, "0 < minimum <= maximum <= 0.3"),
        ({"phase_library": "mine"}, "bundled-1"),
    ],
)
def test_unusable_mixtures_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AugmentationSettings(**given)  # type: ignore[arg-type]
