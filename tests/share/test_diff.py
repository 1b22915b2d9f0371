"""Differences of two datasets."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from datagen.progress import Silence
from datagen.share.diff import Difference, _compare_patterns, diff
from datagen.share.finished import open_finished
from datagen.share.subset import Selection, subset


def test_a_copy_is_equal_in_every_byte(ours: Path, tmp_path: Path) -> None:
    shutil.copytree(ours, tmp_path / "copy.zarr")
    found = diff(ours, tmp_path / "copy.zarr")
    assert found.equal
    assert found.same_content
    assert found.n_common == 6


def test_added_and_removed_rows_and_settings_are_named(ours: Path, theirs: Path) -> None:
    found = diff(ours, theirs)
    assert sorted(found.removed) == ["aragonite.cif", "halite.cif", "quartz.cif", "zincite.cif"]
    assert sorted(found.added) == ["anatase.cif", "calcite.cif", "diamond.cif"]
    assert found.n_common == 2
    assert found.relabelled == {"source": 2, "licence": 2}
    assert (found.n_patterns_compared, found.n_patterns_changed) == (6, 0)
    assert any(line.startswith("configuration.catalog:") for line in found.settings)
    assert not found.equal


def test_fewer_patterns_differ_in_settings_and_not_in_patterns(ours: Path, tmp_path: Path) -> None:
    subset(ours, tmp_path / "part.zarr", Selection(patterns=1))
    found = diff(ours, tmp_path / "part.zarr")
    assert "configuration.simulation.augmentation.count: 3 and 1" in found.settings
    assert f"derived_from: a run and subset of {open_finished(ours).content[:12]}" in found.settings
    assert (found.n_patterns_compared, found.n_patterns_changed) == (6, 0)
    assert not found.relabelled


def test_patterns_that_changed_are_counted(ours: Path, tmp_path: Path) -> None:
    source = open_finished(ours)
    found = Difference()
    shifted = [(row, (row + 1) % 6) for row in range(6)]
    _compare_patterns(source, replace(source), shifted, found, Silence())
    assert found.n_patterns_changed == found.n_patterns_compared == 18
    assert found.largest_change_steps > 100
