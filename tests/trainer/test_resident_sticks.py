"""Reflections in memory equal those read one structure at a time, and batches of an epoch do not change."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datagen import datasets as stored
from tests.trainer.small import ALPHADIFFRACT
from trainer.data.reflections import Sticks
from trainer.data.resident_sticks import read_resident_sticks
from trainer.data.store import open_dataset
from trainer.training.datasets import open_split
from trainer.training.distributed import Place


@pytest.mark.parametrize("old", [False, True])
def test_values_equal_those_of_single_structures(old: bool, tmp_path: Path) -> None:
    if old:
        stored.make(tmp_path, 5, **stored.FORMAT_1)
    else:
        stored.make(tmp_path, 5)
    dataset = open_dataset(tmp_path)
    rows = dataset.rows()[::-1]
    found = read_resident_sticks(dataset, rows)
    assert sorted(found) == sorted(rows.tolist())
    for row, sticks in found.items():
        wanted = dataset.sticks(row)
        for field in fields(Sticks):
            a, b = getattr(sticks, field.name), getattr(wanted, field.name)
            assert (a is None) == (b is None)
            if a is not None:
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


def test_batches_do_not_depend_on_where_reflections_are_read_from(
    patterns_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(ALPHADIFFRACT, input="sticks", samples_per_structure=1)
    place = Place(torch.device("cpu"))
    resident = open_split(config, open_dataset(patterns_dataset), "train", place, None)
    monkeypatch.setattr("trainer.training.datasets.read_resident_sticks", lambda dataset, rows: {})
    streamed = open_split(config, open_dataset(patterns_dataset), "train", place, None)
    assert len(resident.loader.source.resident) == 32
    for a, b in zip(resident.loader.epoch(3), streamed.loader.epoch(3), strict=True):
        assert torch.equal(a.row, b.row)
        assert torch.equal(a.sticks.two_theta_deg, b.sticks.two_theta_deg)
        assert torch.equal(a.sticks.intensity, b.sticks.intensity)


def test_a_split_beyond_the_limit_is_not_kept(patterns_dataset: Path) -> None:
    dataset = open_dataset(patterns_dataset)
    assert read_resident_sticks(dataset, dataset.rows(), most_bytes=1000) == {}
