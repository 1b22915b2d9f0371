from __future__ import annotations

import ast
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.datagen import datasets
from trainer.data.store import Dataset, open_dataset
from trainer.errors import TrainerError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "dataset"
    datasets.make(path)
    return path


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    layout = datasets.layout_of(10)
    datasets.create(tmp_path, layout)
    datasets.write_shard(tmp_path, layout, 1)
    return tmp_path


def sum_of_pattern(dataset: Dataset, row: int) -> float:
    return float(dataset.pattern(row).sum())


def test_it_imports_nothing_but_numpy_and_zarr() -> None:
    import trainer.data.store

    found = set()
    for node in ast.walk(ast.parse(Path(str(trainer.data.store.__file__)).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    assert found <= {
        "__future__",
        "json",
        "math",
        "collections",
        "contextlib",
        "dataclasses",
        "pathlib",
        "typing",
        "numpy",
        "zarr",
        "trainer",
    }


def test_it_tells_what_the_dataset_is_from_the_store_alone(finished: Path) -> None:
    dataset = open_dataset(finished)
    assert (dataset.n_structures, dataset.n_augmentations, dataset.n_shards) == (10, 3, 3)
    assert dataset.complete
    np.testing.assert_array_equal(dataset.two_theta_deg, datasets.TWO_THETA)
    assert dataset.vocabulary("crystal_system")[7] == "cubic"
    assert dataset.instrument == datasets.ATTRIBUTES["instrument"]
    labels = datasets.labels_of(10)
    assert dataset.text("source_id") == labels["source_id"]
    np.testing.assert_array_equal(dataset.column("niggli"), labels["niggli"])
    assert dataset.rows("validation").tolist() == [1, 4, 7]
    assert dataset.rows(with_density=True).tolist() == [1, 3, 5, 7, 9]


def test_it_reads_what_was_written(finished: Path) -> None:
    dataset = open_dataset(finished)
    layout = datasets.layout_of(10)
    for row in dataset.rows().tolist():
        values = datasets.values_of(row, layout)
        np.testing.assert_array_equal(dataset.stored_pattern(row), values["pattern"])
        intensity = datasets.intensity_of(row)
        relative = intensity / intensity.max(axis=1, keepdims=True)
        assert np.abs(dataset.pattern(row) - relative).max() <= 2.0**-13
        sticks = dataset.sticks(row)
        assert (np.diff(sticks.two_theta_deg) > 0).all()
        assert not sticks.line.any()
        stored = dataset.reflections([row])[0]
        np.testing.assert_array_equal(stored.d_A, values["reflection_d"])
        np.testing.assert_array_equal(stored.f2, values["reflection_f2"])
        np.testing.assert_array_equal(stored.hkl, values["reflection_hkl"])
        np.testing.assert_array_equal(stored.rotations, values["rotations"][: 1 + row % 2])
        np.testing.assert_array_equal(dataset.xrd_peaks(row), values["xrd_peaks"])
        np.testing.assert_array_equal(dataset.values("microstrain", row), values["microstrain"])
        if "density" in values:
            np.testing.assert_array_equal(dataset.density(row), values["density"])
        else:
            with pytest.raises(TrainerError, match=f"structure {row} has no density"):
                dataset.density(row)


def test_format_1_gives_sticks_as_it_stores_them(tmp_path: Path) -> None:
    layout = datasets.make(tmp_path, 2, **datasets.FORMAT_1)
    sticks = open_dataset(tmp_path).sticks(0)
    values = datasets.values_of(0, layout)
    np.testing.assert_array_equal(sticks.line, values["reflection_line"])
    np.testing.assert_array_equal(sticks.two_theta_deg, values["reflection_two_theta"])
    np.testing.assert_array_equal(sticks.intensity, values["reflection_intensity"])
    assert sticks.members is not None
    assert sticks.member_hkl is not None
    assert sticks.members.sum() == len(sticks.member_hkl)
    np.testing.assert_array_equal(sticks.member_hkl, values["member_hkl"])


def test_committed_shards_of_an_unfinished_dataset_can_be_read(unfinished: Path) -> None:
    dataset = open_dataset(unfinished)
    assert not dataset.complete
    assert dataset.committed_shards == (1,)
    assert dataset.rows().tolist() == [4, 5, 6, 7]
    assert dataset.pattern(4).shape == (3, datasets.N_POINTS)
    assert len(dataset.text("formula")) == 10  # labels are known from the start


@pytest.mark.parametrize("read", ["pattern", "sticks", "density", "xrd_peaks"])
def test_an_uncommitted_shard_is_refused(unfinished: Path, read: str) -> None:
    dataset = open_dataset(unfinished)
    with pytest.raises(TrainerError, match="shard 0 is not committed"):
        getattr(dataset, read)(0)


def test_files_without_a_receipt_do_not_count(unfinished: Path) -> None:
    layout = datasets.layout_of(10)
    datasets.write_shard(unfinished, layout, 0)
    (unfinished / "ledger" / "shard-00000.json").unlink()
    with pytest.raises(TrainerError, match="shard 0 is not committed"):
        open_dataset(unfinished).pattern(0)


def test_shards_committed_later_are_seen_when_looked_for(unfinished: Path) -> None:
    dataset = open_dataset(unfinished)
    datasets.write_shard(unfinished, datasets.layout_of(10), 0)
    with pytest.raises(TrainerError):
        dataset.pattern(0)
    assert dataset.refresh() == (0, 1)
    dataset.pattern(0)


def test_a_committed_shard_that_lost_a_file_is_refused(unfinished: Path) -> None:
    (unfinished / "pattern" / "c" / "1" / "0" / "0").unlink()
    with pytest.raises(TrainerError, match="found no file; run datagen verify"):
        open_dataset(unfinished).pattern(4)


def test_another_format_version_is_refused(unfinished: Path) -> None:
    content = json.loads((unfinished / "zarr.json").read_bytes())
    content["attributes"]["format_version"] = 3
    (unfinished / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(TrainerError, match=r"expected a format version out of \(1, 2\), found 3"):
        open_dataset(unfinished)


def test_what_is_not_there_is_said(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no dataset here"):
        open_dataset(tmp_path)
    dataset = open_dataset(finished)
    with pytest.raises(TrainerError, match="this dataset has no march_r"):
        dataset.values("march_r", 0)
    with pytest.raises(TrainerError, match="expected a split out of train, validation, test"):
        dataset.rows("holdout")
    with pytest.raises(TrainerError, match="read it by row"):
        dataset.column("pattern")


def test_threads_and_spawned_processes_read_the_same(finished: Path) -> None:
    dataset = open_dataset(finished)
    expected = [sum_of_pattern(dataset, row) for row in range(10)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(sum_of_pattern, [dataset] * 10, range(10))) == expected
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert list(processes.map(sum_of_pattern, [dataset] * 10, range(10))) == expected
