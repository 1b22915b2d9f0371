from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

from curation.crystal import Crystal
from curation.reflections import half_sphere
from datagen.simulate.augmentation import Augmentations, AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import broaden, simulate
from datagen.simulate.parameters import optionally_stored
from datagen.simulate.sticks import Sticks
from datagen.steps.labels import composition, label_columns, reflection_slots
from datagen.steps.layout import draws, extra_draws
from datagen.steps.row import row_values
from datagen.store import zarr_store
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter
from tests.datagen import datasets

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
    assert realistic == {p.name for p in optionally_stored() if not p.name.startswith("phase_")}
    two_phases = AugmentationSettings(preset="realistic", second_phases=(0, 2))
    assert {draw.name for draw in extra_draws(two_phases)} == {p.name for p in optionally_stored()}
    textured = extra_draws(AugmentationSettings(march_r=(0.5, 1.0)))
    assert [draw.name for draw in textured] == ["march_r", "march_hkl"]


@pytest.mark.parametrize("edges", [(3.0, 3.0, 3.0), (4.0, 9.0, 30.0), (2.5, 2.6, 120.0)])
def test_reflection_slots_bound_the_reflections_from_the_lattice_alone(edges: tuple[float, float, float]) -> None:
    lattice = np.diag(edges) + np.array([[0, 0, 0], [0.3, 0, 0], [0.2, 0.5, 0]])
    crystal = Crystal.canonical(lattice, ["Fe"], np.ones(1), np.zeros((1, 3)))
    q_max = 2 * np.sin(np.radians(10)) / 0.619921
    hkl, _ = half_sphere(crystal.lattice_A, 1e-6, q_max)
    assert len(hkl) <= reflection_slots([crystal], [0.619921], 20.0) <= 30 * len(hkl) + 100


@pytest.mark.parametrize("preset", ["alphadiffract", "realistic"])
def test_a_stored_pattern_is_rebuilt_from_the_stored_sticks_and_parameters(tmp_path: Path, preset: str) -> None:
    instrument = Instrument.preset("alphadiffract" if preset == "alphadiffract" else "cu_kalpha")
    lines = [line.wavelength_A for line in instrument.lines]
    settings = AugmentationSettings.model_validate({"preset": preset, "count": 4, "impurity_peaks": (0, 0)})
    if preset == "realistic":
        settings = settings.model_copy(update={"hump_height": (0.0, 0.0)})
    drawn = draw(settings, 1, CORUNDUM_LIKE.structure_hash(), range(4))
    slots = reflection_slots([CORUNDUM_LIKE], lines, instrument.two_theta_max_deg)
    layout = Layout(
        n_structures=1,
        n_augmentations=4,
        n_points=instrument.n_points,
        structures_per_shard=1,
        reflection_slots=slots,
        member_slots=slots,
        n_lines=len(lines),
        text_bytes=zarr_store.text_bytes(datasets.labels_of(1)),
        with_members=preset == "realistic",
        draws=draws(),
        extra_draws=extra_draws(settings),
    )
    zarr_store.create(tmp_path, layout, datasets.labels_of(1), instrument.two_theta_deg, {})
    with ShardWriter(tmp_path, layout, 0) as writer:
        writer.add(row_values(simulate(CORUNDUM_LIKE, instrument, drawn), drawn, layout))
        writer.commit("key")

    with xarray.open_zarr(tmp_path) as dataset:
        row = dataset.isel(structure=0).compute()
    n = int(row.n_reflections)
    members = int(row.n_members) if layout.with_members else 0
    sticks = Sticks(
        row.reflection_two_theta.values[:n],
        row.reflection_intensity.values[:n],
        row.reflection_line.values[:n].astype(int) if len(lines) > 1 else np.zeros(n, dtype=np.int64),
        row.member_hkl.values[:members].astype(np.int32) if members else np.zeros((0, 3), np.int32),
        row.member_intensity.values[:members] if members else np.zeros(0),
        np.cumsum([0, *row.reflection_members.values[:n]]) if members else np.zeros(1, np.int64),
        row.reciprocal_metric.values if members else np.eye(3),
    )
    names = [draw.name for draw in (*layout.draws, *layout.extra_draws)]
    rebuilt, maximum = broaden(sticks, instrument, Augmentations.of(**{name: row[name].values for name in names}))
    np.testing.assert_array_equal(maximum, row.pattern_max.values)
    assert np.abs(rebuilt / maximum[:, None] - row.pattern.values).max() <= 2.0**-14 * (1 + 1e-6)


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
