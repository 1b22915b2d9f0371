"""What the run writes, the trainer reads: a dataset made by the engine and the writer, rebuilt from its sticks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from curation.atoms import cell_parameters
from curation.crystal import Crystal
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import PRESETS
from datagen.simulate.reflections import crystal_reflections
from datagen.steps.layout import draws, extra_draws
from datagen.steps.row import pattern_values, reflection_values
from datagen.store import zarr_store
from datagen.store.schema import Layout
from datagen.store.shard_writer import ShardWriter
from tests.trainer import datasets
from trainer.data.sources import stick_tensors, stored_parameters
from trainer.data.store import open_dataset
from trainer.simulate.broaden import broaden
from trainer.simulate.parameters import Instrument
from trainer.training.datasets import augmentation_of

N = 3


def make(path: Path, settings: AugmentationSettings, preset: str) -> None:
    instrument = PRESETS[preset]
    split = np.zeros(N, dtype=np.int64)
    layout = Layout(
        n_structures=N,
        n_augmentations=settings.count,
        n_points=instrument.n_points,
        structures_per_shard=2,
        shard_reflections=20_000,
        n_lines=len(instrument.lines),
        text_bytes=zarr_store.text_bytes(datasets.labels(N, split)),
        draws=draws(),
        extra_draws=extra_draws(settings),
    )
    attributes = {
        "instrument": instrument.model_dump(mode="json"),
        "configuration": {"simulation": {"augmentation": settings.model_dump(mode="json")}},
    }
    rng = np.random.default_rng(0)
    crystals = [
        Crystal.canonical(np.diag(rng.uniform(3, 8, 3)), ("Na", "Cl", "O"), np.ones(3), rng.random((3, 3)))
        for _ in range(N)
    ]
    labels = datasets.labels(N, split)
    labels["niggli"] = np.array([cell_parameters(crystal.lattice_A) for crystal in crystals])
    labels["volume"] = np.array([crystal.volume_A3 for crystal in crystals])
    zarr_store.create(path, layout, labels, instrument.two_theta_deg, attributes)
    for shard in range(layout.n_shards):
        with ShardWriter(path, layout, shard) as writer:
            for row in layout.rows(shard):
                crystal = crystals[row]
                drawn = draw(settings, 0, f"{row:032x}", np.arange(settings.count))
                patterns = pattern_values(native.simulate(crystal, instrument, drawn), drawn, layout)
                found = crystal_reflections(
                    crystal, instrument.d_min_A, [line.wavelength_A for line in instrument.lines]
                )
                writer.add({**patterns, **reflection_values(found, layout)})
            writer.commit("key")
    zarr_store.finalise(path, {})


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("alphadiffract", AugmentationSettings(count=5)),
        ("cu_kalpha", AugmentationSettings(preset="realistic", count=5)),
        ("cu_kalpha", AugmentationSettings(preset="realistic", count=5, probability={"march_r": 0.5, "X_cdeg": 0.5})),
    ],
)
def test_stored_patterns_come_back_from_sticks_and_stored_parameters(
    tmp_path: Path, preset: str, settings: AugmentationSettings
) -> None:
    make(tmp_path / "made", settings, preset)
    dataset = open_dataset(tmp_path / "made")
    instrument = Instrument.of_attributes(dataset.instrument)
    for row in dataset.rows("train").tolist():
        sticks = stick_tensors([dataset.sticks(row)] * settings.count)
        found = broaden(sticks, stored_parameters(dataset, row), instrument)
        relative = (found / found.amax(dim=1, keepdim=True)).numpy()
        # Half a step of the stored 13 bits, and 1e-4 for the two ways of summing.
        assert np.abs(relative - dataset.pattern(row)).max() < 2.0**-14 + 1e-4
        maxima = torch.tensor(dataset.values("pattern_max", row))
        assert torch.allclose(found.amax(dim=1).double(), maxima, rtol=2e-4)
    ranges = augmentation_of(dataset).ranges
    assert ranges["microstrain"] == settings.microstrain
    assert ranges["impurity_peaks"] == settings.impurity_peaks
    shares = augmentation_of(dataset).probability
    assert shares == {n: p for n, p in settings.probability.model_dump().items() if p < 1}
