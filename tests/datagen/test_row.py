from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.crystal import Crystal
from curation.reflections import half_sphere
from datagen.inspect.reflections import stored_reflections
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import simulate
from datagen.simulate.parameters import optionally_stored
from datagen.simulate.reflections import crystal_reflections
from datagen.steps.labels import composition, most_reflections, shard_reflections
from datagen.steps.layout import draws, extra_draws
from datagen.steps.row import pattern_values, reflection_values
from datagen.store import zarr_store
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter
from tests.datagen import datasets
from tests.datagen.label_columns import label_columns

CORUNDUM_LIKE = Crystal.canonical(
    np.array([[4.1, 0.0, 0.0], [0.3, 5.2, 0.0], [0.2, -0.4, 6.3]]),
    ["Al3+", "Al3+", "O2-", "O2-", "O2-"],
    np.array([1.0, 1.0, 1.0, 1.0, 0.5]),
    np.random.default_rng(0).random((5, 3)),
)


def test_composition_is_the_atomic_fraction_by_atomic_number() -> None:
    vector = composition(CORUNDUM_LIKE)
    assert vector.shape == (118,)
    np.testing.assert_allclose([vector[12], vector[7]], [2 / 4.5, 2.5 / 4.5])
    assert vector.sum() == pytest.approx(1)


def test_only_parameters_that_can_have_an_effect_are_stored() -> None:
    assert extra_draws(AugmentationSettings()) == ()
    realistic = {draw.name for draw in extra_draws(AugmentationSettings(preset="realistic"))}
    assert realistic == {p.name for p in optionally_stored() if p.slot <= 38}
    everything = AugmentationSettings(preset="measured", X_cdeg=(0, 1), Y_cdeg=(0, 1))
    assert {draw.name for draw in extra_draws(everything)} == {*(p.name for p in optionally_stored()), "strained_cell"}
    textured = extra_draws(AugmentationSettings(march_r=(0.5, 1.0)))
    assert [draw.name for draw in textured] == ["march_r", "march_hkl"]


@pytest.mark.parametrize("edges", [(3.0, 3.0, 3.0), (4.0, 9.0, 30.0), (2.5, 2.6, 120.0)])
def test_reflections_are_bounded_by_the_lattice_alone(edges: tuple[float, float, float]) -> None:
    lattice = np.diag(edges) + np.array([[0, 0, 0], [0.3, 0, 0], [0.2, 0.5, 0]])
    crystal = Crystal.canonical(lattice, ["Fe"], np.ones(1), np.zeros((1, 3)))
    hkl, _ = half_sphere(crystal.lattice_A, 1e-6, 1 / 1.8)
    assert len(hkl) <= most_reflections(crystal, 1.8) <= 30 * len(hkl) + 100
    bounds = [most_reflections(each, 1.8) for each in (crystal, CORUNDUM_LIKE, crystal)]
    assert shard_reflections(bounds, 2) == sum(sorted(bounds)[1:])


@pytest.mark.parametrize("preset", ["alphadiffract", "cu_kalpha"])
def test_stored_reflections_come_back_in_the_types_of_the_store(tmp_path: Path, preset: str) -> None:
    instrument = Instrument.preset(preset)
    settings = AugmentationSettings(count=2)
    drawn = draw(settings, 1, CORUNDUM_LIKE.structure_hash(), range(2))
    layout = Layout(
        n_structures=1,
        n_augmentations=2,
        n_points=instrument.n_points,
        structures_per_shard=1,
        shard_reflections=most_reflections(CORUNDUM_LIKE, 1.0),
        n_lines=len(instrument.lines),
        text_bytes=zarr_store.text_bytes(datasets.labels_of(1)),
        draws=draws(),
    )
    zarr_store.create(tmp_path, layout, datasets.labels_of(1), instrument.two_theta_deg, {})
    found = crystal_reflections(CORUNDUM_LIKE, 1.0, [line.wavelength_A for line in instrument.lines])
    patterns = pattern_values(simulate(CORUNDUM_LIKE, instrument, drawn), drawn, layout)
    with ShardWriter(tmp_path, layout, 0) as writer:
        writer.add({**patterns, **reflection_values(found, layout)})
        writer.commit("key")
    stored = stored_reflections(tmp_path, 0)
    assert len(stored["reflection_d"]) == len(found) > 100
    np.testing.assert_allclose(stored["reflection_d"], found.d_A, rtol=6e-8)
    np.testing.assert_allclose(stored["reflection_f2"], found.f2, rtol=6e-8)
    np.testing.assert_array_equal(stored["reflection_hkl"], found.hkl)
    assert ("reflection_f2_lines" in stored) == (preset == "cu_kalpha")


def test_labels_come_from_verdicts_row_by_row() -> None:
    from catalogs.record import Record
    from curation.verdict import Verdict

    record = Record("minerals", "a.cif", "data_a", "inline", "CC0")
    verdict = Verdict.about(
        record,
        status="accepted",
        formula="Al2O3",
        n_atoms=5,
        volume=CORUNDUM_LIKE.volume_A3,
        space_group=1,
        crystal_system=1,
        niggli_a=4.1,
        niggli_b=5.2,
        niggli_c=6.3,
        niggli_alpha=90.0,
        niggli_beta=91.0,
        niggli_gamma=92.0,
        structure_hash=CORUNDUM_LIKE.structure_hash(),
        group="Al2O3_1",
        split="test",
        structure=CORUNDUM_LIKE.to_json(),
    )
    columns = label_columns([verdict, verdict])
    assert columns["split"].tolist() == [2, 2]
    assert columns["niggli"].tolist() == [[4.1, 5.2, 6.3, 90.0, 91.0, 92.0]] * 2
    assert columns["source_id"] == ["a.cif"] * 2
    assert columns["composition"].shape == (2, 118)
