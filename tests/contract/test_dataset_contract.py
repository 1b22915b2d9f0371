"""What datagen writes is what the trainer reads: real crystals all the way, the store alone between the two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from catalogs.config import ExamplesCatalog
from catalogs.open import open_catalog
from curation.curate import curate_record
from curation.labels import CRYSTAL_SYSTEMS
from curation.settings import CurationSettings
from curation.verdict import Verdict
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.density.make import Density, DensitySettings, make_density, refusal_variables
from datagen.simulate.instrument import Instrument
from datagen.simulate.native import simulate
from datagen.simulate.reflections import crystal_reflections
from datagen.simulate.xrd_peaks import xrd_peaks
from datagen.steps.labels import composition, most_reflections, shard_reflections
from datagen.steps.layout import draws
from datagen.steps.row import pattern_values, reflection_values
from datagen.store import zarr_store
from datagen.store.density_codes import DensityRefused
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter
from tests.datagen.label_columns import label_columns
from trainer.data.store import open_dataset

INSTRUMENT = Instrument.preset("alphadiffract")
SETTINGS = AugmentationSettings(count=5)
SEED = 7


def density_of(verdict: Verdict) -> Density | DensityRefused:
    try:
        return make_density(verdict.density, verdict.crystal, DensitySettings())
    except DensityRefused as refused:
        return refused


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    records = list(open_catalog(ExamplesCatalog(name="examples")))
    chosen = [r for r in records if r.density is not None][:3] + [r for r in records if r.density is None][:3]
    found = [curate_record(record, CurationSettings()) for record in chosen]
    return [v for v in found if v.accepted]


@pytest.fixture(scope="module")
def dataset(verdicts: list[Verdict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract")
    labels = label_columns(verdicts)
    lines = [line.wavelength_A for line in INSTRUMENT.lines]
    layout = Layout(
        n_structures=len(verdicts),
        n_augmentations=SETTINGS.count,
        n_points=INSTRUMENT.n_points,
        structures_per_shard=4,
        shard_reflections=shard_reflections((most_reflections(v.crystal, INSTRUMENT.d_min_A) for v in verdicts), 4),
        text_bytes=zarr_store.text_bytes(labels),
        with_xrd_peaks=True,
        density_method="fourier",
        draws=draws(),
    )
    attributes = {"instrument": INSTRUMENT.model_dump(mode="json")}
    zarr_store.create(path, layout, labels, INSTRUMENT.two_theta_deg, attributes)
    for shard in range(layout.n_shards):
        with ShardWriter(path, layout, shard) as writer:
            for row in layout.rows(shard):
                crystal = verdicts[row].crystal
                drawn = draw(SETTINGS, SEED, crystal.structure_hash(), range(SETTINGS.count))
                values = pattern_values(simulate(crystal, INSTRUMENT, drawn), drawn, layout)
                values |= reflection_values(crystal_reflections(crystal, INSTRUMENT.d_min_A, lines), layout)
                density = density_of(verdicts[row])
                values |= density.variables() if isinstance(density, Density) else refusal_variables(density)
                if isinstance(density, Density):
                    values["xrd_peaks"] = xrd_peaks(crystal)
                writer.add(values)
            writer.commit(f"key {shard}")
    zarr_store.finalise(path, {})
    return path


def test_the_trainer_learns_everything_from_the_store(dataset: Path, verdicts: list[Verdict]) -> None:
    found = open_dataset(dataset)
    assert len(verdicts) == 6
    assert found.complete
    assert found.rows().tolist() == list(range(len(verdicts)))
    np.testing.assert_array_equal(found.two_theta_deg, INSTRUMENT.two_theta_deg)
    assert Instrument.model_validate(found.instrument) == INSTRUMENT
    system = found.vocabulary("crystal_system")
    side = found.vocabulary("split")
    for row, verdict in enumerate(verdicts):
        assert verdict.crystal_system is not None
        assert found.text("source_id")[row] == verdict.source_id
        assert found.text("structure_hash")[row] == verdict.structure_hash
        assert found.column("space_group")[row] == verdict.space_group
        assert found.column("crystal_system")[row] == verdict.crystal_system
        assert system[int(found.column("crystal_system")[row])] == CRYSTAL_SYSTEMS[verdict.crystal_system - 1]
        assert side[int(found.column("split")[row])] == verdict.split
        np.testing.assert_array_equal(found.column("niggli")[row], verdict.niggli)
        np.testing.assert_array_equal(found.column("composition")[row], composition(verdict.crystal))


def test_patterns_are_the_engines_within_the_quantisation(dataset: Path, verdicts: list[Verdict]) -> None:
    found = open_dataset(dataset)
    for row, verdict in enumerate(verdicts):
        drawn = draw(SETTINGS, SEED, verdict.crystal.structure_hash(), range(SETTINGS.count))
        exact = simulate(verdict.crystal, INSTRUMENT, drawn).intensity
        relative = exact / exact.max(axis=1, keepdims=True)
        assert np.abs(found.pattern(row) - relative).max() <= 2.0**-14 * (1 + 1e-5)
        np.testing.assert_array_equal(found.values("microstrain", row), drawn.microstrain)


def test_densities_come_with_their_electrons_and_pattern_and_absent_ones_with_a_reason(
    dataset: Path, verdicts: list[Verdict]
) -> None:
    found = open_dataset(dataset)
    with_density = found.rows(with_density=True).tolist()
    assert with_density == [row for row, v in enumerate(verdicts) if v.density is not None]
    assert len(with_density) == 3
    meaning = found.vocabulary("density_reason")
    for row, verdict in enumerate(verdicts):
        reason = meaning[int(found.values("density_reason", row))]
        if row not in with_density:
            assert reason == "none_given"
            continue
        assert reason == "accepted"
        before, after = found.values("density_electrons", row)
        volume = abs(np.linalg.det(found.values("density_lattice", row)))
        assert found.density(row).mean(dtype=float) * volume == pytest.approx(after)
        assert after == pytest.approx(before, rel=1e-6)
        np.testing.assert_array_equal(found.xrd_peaks(row), xrd_peaks(verdict.crystal))
