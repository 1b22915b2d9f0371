"""Merges: every structure once, splits and provenance kept, or a refusal with its reason."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datagen.errors import PlanError, StoreError
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.merge import merge, refuse_differences, refuse_groups_in_two_splits
from datagen.share.row_reader import RowReader
from datagen.share.subset import Selection, subset
from datagen.store import reading
from datagen.store.lock import locked
from tests.faults.runs import content_of
from tests.share.compare import assert_same_row
from trainer.data.store import open_dataset


@pytest.fixture(scope="module")
def both(ours: Path, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("both") / "both.zarr"
    found = merge([ours, theirs], out)
    assert (found.n_structures, found.n_taken, found.n_duplicates) == (9, (5, 4), 2)
    return out


def test_a_merge_has_every_structure_once_and_unchanged(ours: Path, theirs: Path, both: Path) -> None:
    merged = open_dataset(both)
    hashes = merged.text("structure_hash")
    assert len(set(hashes)) == len(hashes) == 9
    sources = {name: open_dataset(path) for name, path in (("ours", ours), ("theirs", theirs))}
    for row, (structure, name) in enumerate(zip(hashes, merged.text("source"), strict=True)):
        assert_same_row(merged, row, sources[name], sources[name].text("structure_hash").index(structure))


def test_the_first_duplicate_with_a_density_is_kept_else_the_first(both: Path) -> None:
    merged = open_dataset(both)
    kept = dict(zip(merged.text("source_id"), merged.text("source"), strict=True))
    assert kept["silicon.cif"] == "theirs"
    assert kept["rutile.cif"] == "ours"
    assert merged.rows(with_density=True).tolist() == [merged.text("source_id").index("silicon.cif")]


def test_rows_of_a_dataset_without_densities_have_the_reason_none_given(both: Path) -> None:
    merged = open_dataset(both)
    row = merged.text("source_id").index("halite.cif")
    assert merged.vocabulary("density_reason")[int(merged.values("density_reason", row))] == "none_given"


def test_a_merge_that_does_not_fit_on_the_disk_is_refused_before_it_is_written(
    ours: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(r.size for path in (ours, theirs) for r in open_finished(path).receipts.values())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed // 4))
    with pytest.raises(StoreError, match=r"both.zarr: takes about .* more, .* has .* free; free disk space"):
        merge([ours, theirs], tmp_path / "both.zarr")
    making = tmp_path / ".both.zarr.making"
    assert not list(making.rglob("c"))
    monkeypatch.undo()
    assert merge([ours, theirs], tmp_path / "both.zarr").n_structures == 9


def test_a_merge_keeps_the_splits(ours: Path, theirs: Path, both: Path) -> None:
    merged = open_dataset(both)
    now = dict(zip(merged.text("group"), merged.column("split").tolist(), strict=True))
    for path in (ours, theirs):
        dataset = open_dataset(path)
        for group, split in zip(dataset.text("group"), dataset.column("split").tolist(), strict=True):
            assert now[group] == split


def test_a_merge_keeps_every_verdict_with_its_row(both: Path) -> None:
    table = pq.read_table(both / "curation.parquet").to_pylist()
    assert len(table) == 13
    assert [line["source"] for line in table if line["status"] == "refused"] == ["ours", "theirs"]
    hashes = open_dataset(both).text("structure_hash")
    for line in table:
        if line["row"] is not None:
            assert hashes[line["row"]] == line["structure_hash"]
            assert line["duplicate_of"] is None
        elif line["status"] == "accepted":
            stands = table[line["duplicate_of"]]
            assert stands["structure_hash"] == line["structure_hash"]
            assert stands["row"] is not None
    assert {line["source"] for line in table if line["duplicate_of"] is not None} == {"ours", "theirs"}


def test_patterns_of_a_merge_can_be_replayed(both: Path) -> None:
    assert verify(both, sample=9).regenerated == 9
    assert replay(both, "halite.cif", 2).difference_steps == 0


def test_provenance_is_kept_without_paths(ours: Path, theirs: Path, both: Path) -> None:
    origin = reading.read_attributes(both)["derived_from"]
    assert origin["operation"] == "merge"
    assert [s["content_sha256"] for s in origin["sources"]] == [open_finished(p).content for p in (ours, theirs)]
    assert [s["n_rows_taken"] for s in origin["sources"]] == [5, 4]
    assert [s["configuration"]["catalog"][0]["name"] for s in origin["sources"]] == ["ours", "theirs"]
    catalogs = reading.read_attributes(both)["configuration"]["catalog"]
    assert [c["licence"] for c in catalogs] == ["CC-BY-4.0", "ICSD"]


def test_equal_merges_give_equal_bytes_independent_of_paths(
    ours: Path, theirs: Path, both: Path, tmp_path: Path
) -> None:
    for path in (ours, theirs):
        shutil.copytree(path, tmp_path / path.name)
    merge([tmp_path / ours.name, tmp_path / theirs.name], tmp_path / "elsewhere.zarr")
    assert content_of(both) == content_of(tmp_path / "elsewhere.zarr")


def test_a_merge_of_a_merge_keeps_the_provenance_of_both(both: Path, theirs: Path, tmp_path: Path) -> None:
    subset(theirs, tmp_path / "part.zarr", Selection(where="formula == 'C'"))
    merge([both, tmp_path / "part.zarr"], tmp_path / "more.zarr")
    older = [
        s["derived_from"]["operation"]
        for s in reading.read_attributes(tmp_path / "more.zarr")["derived_from"]["sources"]
    ]
    assert older == ["merge", "subset"]
    assert open_dataset(tmp_path / "more.zarr").n_structures == 9


def changed(dataset: FinishedDataset, *path: str, value: Any) -> FinishedDataset:
    attributes = copy.deepcopy(dataset.attributes)
    place = attributes["configuration"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return replace(dataset, attributes=attributes)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("simulation", "seed"), 5, r"simulation\.seed: 0 and 5"),
        (("simulation", "instrument", "polarisation"), 0.5, r"simulation\.instrument\.polarisation: 0\.99 and 0\.5"),
        (("simulation", "augmentation", "U_cdeg2"), [0.0, 9.0], r"augmentation\.U_cdeg2: \[0\.0, 3\.0\] and"),
        (("simulation", "augmentation", "count"), 7, "datagen subset --patterns"),
        (("curation", "seed"), 3, r"curation\.seed: 0 and 3"),
        (("curation", "split", "train"), 0.5, r"curation\.split\.train: 0\.8 and 0\.5"),
        (("physics_version",), 9, "physics_version: 1 and 9"),
    ],
)
def test_datasets_with_different_settings_are_refused_by_name(
    ours: Path, theirs: Path, path: tuple[str, ...], value: Any, words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        refuse_differences([open_finished(ours), changed(open_finished(theirs), *path, value=value)])


def test_a_group_in_two_splits_is_refused(ours: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [open_finished(ours), open_finished(theirs)]
    column = FinishedDataset.column

    def other_splits(dataset: FinishedDataset, name: str) -> Any:
        values = column(dataset, name)
        return (values + 1) % 3 if name == "split" and dataset is sources[1] else values

    refuse_groups_in_two_splits(sources)
    monkeypatch.setattr(FinishedDataset, "column", other_splits)
    with pytest.raises(StoreError, match=r"group .* is in split"):
        refuse_groups_in_two_splits(sources)


def test_a_dataset_named_twice_is_refused(ours: Path, tmp_path: Path) -> None:
    shutil.copytree(ours, tmp_path / "copy.zarr")
    with pytest.raises(StoreError, match="is identical to"):
        merge([ours, tmp_path / "copy.zarr"], tmp_path / "out.zarr")
    with pytest.raises(StoreError, match="two datasets or more"):
        merge([ours], tmp_path / "out.zarr")


def test_two_merges_into_one_path_exclude_each_other(ours: Path, theirs: Path, tmp_path: Path) -> None:
    with locked(tmp_path / ".out.zarr.making"), pytest.raises(PlanError):
        merge([ours, theirs], tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_at_most_one_shard_is_in_memory_while_rows_are_copied(theirs: Path) -> None:
    source = open_finished(theirs)
    rows = RowReader(source, source.layout)
    for row in range(5):
        values = rows.values(row)
        assert values["pattern"].shape == (3, 512)
        assert {len(held) for held in rows._small.values()} == {2}, "a shard's"
        assert "pattern" not in rows._small
        assert "density" not in rows._small
