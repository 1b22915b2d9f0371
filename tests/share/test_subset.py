"""A subset is a dataset of its own whose rows are, bit for bit, those of its parent."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from datagen.errors import ConfigError, DatagenError, StoreError
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.share.finished import open_finished
from datagen.share.subset import Selection, selected_rows, subset
from datagen.store.shard_writer import ShardWriter
from tests.faults.runs import content_of
from tests.share.compare import assert_same_row
from trainer.data.store import open_dataset


def test_a_subset_holds_the_rows_that_were_meant_as_they_were(theirs: Path, tmp_path: Path) -> None:
    n = subset(theirs, tmp_path / "part.zarr", Selection(where="'Si' in elements or 'C' in elements"))
    assert n == 3
    parent, part = open_dataset(theirs), open_dataset(tmp_path / "part.zarr")
    assert sorted(part.text("formula")) == ["C", "CaCO3", "Si"]
    for row, structure in enumerate(part.text("structure_hash")):
        assert_same_row(part, row, parent, parent.text("structure_hash").index(structure))
    assert bool(part.values("has_density", part.text("formula").index("Si")))
    assert verify(tmp_path / "part.zarr", sample=3).regenerated == 3


def test_fewer_patterns_are_the_first_ones_and_can_be_made_again(theirs: Path, tmp_path: Path) -> None:
    subset(theirs, tmp_path / "part.zarr", Selection(splits=("train", "validation", "test"), patterns=2))
    parent, part = open_dataset(theirs), open_dataset(tmp_path / "part.zarr")
    assert part.n_augmentations == 2
    for row in range(5):
        assert_same_row(part, row, parent, row, patterns=2)
    assert replay(tmp_path / "part.zarr", "silicon.cif", 1).difference_steps == 0
    with pytest.raises(StoreError, match="augmentation from 0 to 1"):
        replay(tmp_path / "part.zarr", "silicon.cif", 2)


def test_a_sample_is_the_same_each_time_and_does_not_depend_on_the_other_rows(theirs: Path) -> None:
    source = open_finished(theirs)
    three = selected_rows(source, Selection(sample=3, seed=1))
    assert len(three) == 3
    assert np.array_equal(three, selected_rows(source, Selection(sample=3, seed=1)))
    assert set(selected_rows(source, Selection(sample=2, seed=1))) < set(three)
    other = [tuple(selected_rows(source, Selection(sample=3, seed=seed))) for seed in range(10)]
    assert len(set(other)) > 1


def test_the_same_subset_twice_gives_the_same_bytes(theirs: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        subset(theirs, tmp_path / name / "part.zarr", Selection(sample=3))
    assert content_of(tmp_path / "a" / "part.zarr") == content_of(tmp_path / "b" / "part.zarr")


def test_a_killed_subset_leaves_nothing_that_looks_whole_and_goes_on(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = ShardWriter.commit
    seen: list[int] = []

    def dying(writer: ShardWriter, *given: object) -> object:
        seen.append(writer.shard)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return commit(writer, *given)  # type: ignore[arg-type]

    out = tmp_path / "part.zarr"
    monkeypatch.setattr(ShardWriter, "commit", dying)
    with pytest.raises(KeyboardInterrupt):
        subset(theirs, out, Selection(patterns=2))
    assert not out.exists()
    with pytest.raises(StoreError, match="begun with other"):
        subset(theirs, out, Selection(patterns=1))
    subset(theirs, out, Selection(patterns=2))
    assert seen == [0, 1, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["part.zarr"]
    subset(theirs, tmp_path / "again" / "part.zarr", Selection(patterns=2))
    assert content_of(out) == content_of(tmp_path / "again" / "part.zarr")


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(where="n_atoms > 1000"), "no structure meets --where"),
        (Selection(where="'Xx' in elements"), "symbol of an element"),
        (Selection(splits=("tran",)), "expected one of train, validation, test"),
        (Selection(sample=99), "only 5 structures"),
        (Selection(patterns=4), "expected 1 to 3"),
    ],
)
def test_what_cannot_be_selected_is_refused_and_leaves_nothing(
    theirs: Path, tmp_path: Path, selection: Selection, words: str
) -> None:
    with pytest.raises(DatagenError, match=words) as refusal:
        subset(theirs, tmp_path / "part.zarr", selection)
    assert isinstance(refusal.value, ConfigError | StoreError)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_dataset_is_not_passed_on(theirs: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(theirs, damaged)
    file = damaged / "pattern" / "c" / "1" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-9] + b"\1" + file.read_bytes()[-8:])
    with pytest.raises(StoreError, match=r"damaged, the first pattern/c/1/0/0"):
        subset(damaged, tmp_path / "part.zarr", Selection())
    assert not (tmp_path / "part.zarr").exists()


def test_an_unfinished_dataset_is_refused(theirs: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished.zarr"
    shutil.copytree(theirs, unfinished)
    text = (unfinished / "zarr.json").read_text()
    (unfinished / "zarr.json").write_text(text.replace('"complete": true', '"complete": false'))
    with pytest.raises(StoreError, match="expected a complete dataset"):
        subset(unfinished, tmp_path / "part.zarr", Selection())


def test_nothing_is_ever_written_over(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "part.zarr").mkdir()
    with pytest.raises(StoreError, match="exists already"):
        subset(theirs, tmp_path / "part.zarr", Selection())
