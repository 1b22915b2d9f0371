"""Densities in memory: the same batches and weights as when they are read in every epoch, without reading again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer import datasets, small
from tests.trainer.test_fit import same, weights
from trainer.data.resident_densities import ResidentDensitySource, resident_densities
from trainer.data.sources import DensitySource
from trainer.data.store import Dataset, open_dataset
from trainer.simulate.points import density_at, stratified_points
from trainer.training.fit import fit

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def streamed(densities_dataset: Path) -> DensitySource:
    dataset = open_dataset(densities_dataset)
    return DensitySource(dataset, dataset.column("composition").astype(np.float32))


@pytest.mark.parametrize("on_device", [True, False])
def test_batches_are_those_that_are_read(streamed: DensitySource, on_device: bool) -> None:
    rows = streamed.dataset.rows("train")
    resident = resident_densities(streamed, rows, 1e9, CPU, workers=2)
    assert isinstance(resident, ResidentDensitySource)
    assert resident.on_device
    resident = replace(resident, on_device=on_device)
    chosen = rows[[5, 0, 17, 5]]
    picks = np.stack([np.arange(4), np.zeros(4, dtype=np.int64)], axis=1)
    ours, theirs = (s.collate([s.load(int(row)) for row in chosen], picks) for s in (resident, streamed))
    for name in ("xrd_peaks", "composition", "density", "row"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert (ours.densities.table is resident.densities) == on_device
    assert ours.to(CPU).densities.table.data_ptr() == ours.densities.table.data_ptr()
    position = stratified_points(4, 3, CPU, torch.Generator().manual_seed(0))
    at = [density_at(batch.densities.table, position, batch.densities.place) for batch in (ours, theirs)]
    assert torch.equal(at[0][0], at[1][0])
    assert torch.equal(at[0][0], density_at(theirs.density, position)[0])


def test_what_does_not_fit_is_read_in_every_epoch(streamed: DensitySource) -> None:
    rows = streamed.dataset.rows("train")
    one = datasets.density(0).nbytes
    assert resident_densities(streamed, rows, len(rows) * one - 1, CPU, workers=1) is streamed
    assert resident_densities(streamed, rows, len(rows) * one, CPU, workers=1) is not streamed


def test_training_from_memory_ends_with_the_same_weights_and_reads_each_density_once(
    densities_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(small.CRYSTALNET, deterministic=True)
    read: list[int] = []
    density = Dataset.density
    monkeypatch.setattr(Dataset, "density", lambda self, row: read.append(row) or density(self, row))
    counts = []
    for gigabytes in (1.0, 0.0):
        read.clear()
        fit(replace(config, resident_gigabytes=gigabytes), densities_dataset, tmp_path / str(gigabytes), device="cpu")
        counts.append(len(read))
    assert same(weights(tmp_path / "1.0"), weights(tmp_path / "0.0"))
    structures = 32 + 6
    assert counts[0] == structures + 2  # one more of each split, which says how large they are
    assert counts[1] > 2 * structures
