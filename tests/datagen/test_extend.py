"""Datasets that grow: new rows behind the old ones, whatever interrupts it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import DEFAULT, patch

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

import datagen
from cluster.config import InlineProfile
from datagen.config.config import DatagenConfig
from datagen.errors import PlanError, StoreError
from datagen.followup.extend import extend
from datagen.inspect.status import status_of
from datagen.inspect.verify import verify
from datagen.progress import Silence
from datagen.share.diff import diff
from datagen.share.subset import Selection, subset
from datagen.steps.outcome import Outcome
from datagen.store import reading
from tests.datagen.small_runs import EXAMPLES, config_of, lines_of, make, misbehave, write_cifs
from trainer.data.store import open_dataset

OLD = ["halite", "quartz", "silicon"]
NEW = ["aragonite", "anatase", "copper", "brucite"]
SMALL = {
    "base": "alphadiffract",
    "n_points": 64,
}


class Told(Silence):
    """The lines that a user sees."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep the line."""
        self.lines.append(text)


def settings(cifs: Path, **sections: Any) -> DatagenConfig:
    simulation = {"instrument": SMALL, "augmentation": {"count": 2}}
    return config_of(cifs, **{"simulation": simulation, **sections})


def extended(config: DatagenConfig, dataset: Path, told: Told | None = None) -> Outcome:
    with patch.multiple("datagen.run", draw_report=DEFAULT, write_report=DEFAULT):
        return extend(config, dataset, profile=InlineProfile(kind="inline"), display=told or Silence())


def content_of(dataset: Path) -> dict[str, bytes]:
    files = (p for p in dataset.rglob("*") if p.is_file() and ".run" not in p.parts and p.name != "report.html")
    return {p.relative_to(dataset).as_posix(): p.read_bytes() for p in files}


def rows_of(dataset: Path) -> dict[str, dict[str, Any]]:
    """Every array's rows by the structure's name."""
    group = zarr.open_group(dataset, mode="r")
    arrays = {name: array for name, array in group.arrays() if array.metadata.dimension_names[0] == "structure"}
    names = [bytes(row).rstrip(b"\0").decode() for row in np.asarray(group["source_id"])]
    return {
        name: {key: np.asarray(array[row]).tobytes().rstrip(b"\0") for key, array in arrays.items()}
        for row, name in enumerate(names)
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of three structures, two a shard, beside its folder of CIFs. Look only."""
    folder = tmp_path_factory.mktemp("extend")
    make(settings(write_cifs(folder / "cifs", OLD)), folder / "d.zarr")
    return folder


@pytest.fixture
def grown(first: Path, tmp_path: Path) -> tuple[DatagenConfig, Path]:
    """The dataset, and its catalog with four files more."""
    shutil.copytree(first / "d.zarr", tmp_path / "d.zarr")
    cifs = write_cifs(tmp_path / "cifs", OLD)
    return settings(write_cifs(cifs, NEW)), tmp_path / "d.zarr"


def test_new_files_become_new_rows_and_old_rows_keep_their_bytes(
    grown: tuple[DatagenConfig, Path], tmp_path: Path
) -> None:
    config, dataset = grown
    old, before = rows_of(dataset), lines_of(dataset)
    shutil.copytree(dataset, tmp_path / "old.zarr")
    outcome = extended(config, dataset)
    assert (outcome.n_structures, outcome.n_structures_now, outcome.counts.total()) == (7, 5, 7)  # a shard was partial
    now = rows_of(dataset)
    assert list(now)[:3] == list(old)
    assert {name: now[name] for name in old} == old
    make(config, tmp_path / "fresh.zarr")
    assert rows_of(tmp_path / "fresh.zarr") == now  # whatever the order
    assert {name: (line["row"], line["split"]) for name, line in before.items()} == {
        name: (line["row"], line["split"]) for name, line in lines_of(dataset).items() if name in before
    }
    assert verify(dataset, sample=7).regenerated == 7
    found = diff(tmp_path / "old.zarr", dataset)
    assert sorted(found.added) == sorted(f"{name}.cif" for name in NEW)
    attributes = reading.read_attributes(dataset)
    assert attributes["version"] == 2
    assert [each["n_structures"] for each in attributes["versions"]] == [3, 4]
    assert not (dataset / ".run" / "next").exists()


def test_the_same_command_again_finds_nothing_to_do(grown: tuple[DatagenConfig, Path]) -> None:
    config, dataset = grown
    extended(config, dataset)
    content = content_of(dataset)
    for again in (make, extended):
        assert again(config, dataset).n_structures_now == 0
        assert content_of(dataset) == content
    assert status_of(dataset).phase == "complete"


def test_a_dataset_grows_twice_by_another_catalog(grown: tuple[DatagenConfig, Path], tmp_path: Path) -> None:
    config, dataset = grown
    extended(config, dataset)
    more = write_cifs(tmp_path / "more", ["barite", "halite"])
    catalogs = [{"kind": "folder", "path": str(path), "name": path.name} for path in (tmp_path / "cifs", more)]
    outcome = extended(settings(tmp_path / "cifs", catalog=catalogs), dataset)
    assert (outcome.n_structures, outcome.n_duplicates) == (8, 1)
    lines = [
        (line["source"], line["duplicate_of"]) for line in read_lines(dataset) if line["source_id"] == "halite.cif"
    ]
    assert lines == [("cifs", None), ("more", 0)]  # the old one stays
    assert reading.read_attributes(dataset)["version"] == 3
    subset(dataset, tmp_path / "part.zarr", Selection(sample=4))
    verify(tmp_path / "part.zarr", sample=2)
    trained = open_dataset(dataset)
    assert trained.n_structures == 8


def read_lines(dataset: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(dataset / "curation.parquet").to_pylist())


def test_readers_that_have_it_open_see_the_old_rows(grown: tuple[DatagenConfig, Path]) -> None:
    config, dataset = grown
    expected = {name: np.asarray(array) for name, array in zarr.open_group(dataset, mode="r").arrays()}
    by_zarr = zarr.open_group(dataset, mode="r")
    arrays = dict(by_zarr.arrays())
    by_xarray = datagen.open_dataset(dataset)
    extended(config, dataset)
    for name, array in arrays.items():
        found, before = np.asarray(array), expected[name]
        if array.metadata.dimension_names[0] == "shard":  # a run's slots behind its last reflection have no meaning
            ends = [expected["n_reflections"][:2].sum(), expected["n_reflections"][2:].sum()]
            found, before = (np.concatenate([a[i, :end] for i, end in enumerate(ends)]) for a in (found, before))
        np.testing.assert_array_equal(found, before, name)
    assert by_xarray.sizes["structure"] == 3
    np.testing.assert_array_equal(by_xarray["space_group"].values, expected["space_group"])
    by_xarray["pattern"].load()
    assert datagen.open_dataset(dataset).sizes["structure"] == 7


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("moves", [0, 1, 7, 25, 40, -8, -3, -1])
def test_an_extension_killed_in_its_move_is_completed(
    grown: tuple[DatagenConfig, Path], tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, dataset = grown
    shutil.copytree(dataset, tmp_path / "undisturbed.zarr")
    count = Counting(monkeypatch)
    extended(config, tmp_path / "undisturbed.zarr")
    total = count.moves
    assert total > 50
    old = rows_of(dataset)
    count.begin(total + moves if moves < 0 else moves)
    with pytest.raises(KilledError):
        extended(config, dataset)
    count.begin(None)
    during = rows_of(dataset)  # readable at every instant
    assert {name: during[name] for name in old} == old
    again = extended if moves % 2 else make
    assert again(config, dataset).n_structures == 7
    assert content_of(dataset) == content_of(tmp_path / "undisturbed.zarr")
    verify(dataset)


class Counting:
    """Counts renames into the dataset, and ends the process at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moves = 0
        self.last: int | None = None
        rename = Path.replace

        def counted(path: Path, target: Path) -> Path:
            if ".run/next/" in str(path) and ".run/next/" not in str(target):
                if self.moves == self.last:
                    raise KilledError
                self.moves += 1
            return rename(path, target)

        monkeypatch.setattr(Path, "replace", counted)

    def begin(self, last: int | None) -> None:
        self.moves, self.last = 0, last


def test_an_extension_killed_before_its_move_leaves_the_dataset_alone_and_resumes(
    grown: tuple[DatagenConfig, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, dataset = grown
    content = content_of(dataset)

    def end() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        misbehave(patched, "Cu", end)
        with pytest.raises(KeyboardInterrupt):
            extended(config, dataset)
    assert content_of(dataset) == content
    verify(dataset, sample=2)
    assert status_of(dataset).extension
    outcome = extended(config, dataset)
    assert outcome.n_structures == 7
    assert status_of(dataset).extension is None


def test_an_extension_by_other_catalogs_replaces_one_that_was_begun(
    grown: tuple[DatagenConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, dataset = grown

    def end() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        misbehave(patched, "Cu", end)
        with pytest.raises(KeyboardInterrupt):
            extended(config, dataset)
    told = Told()
    other = settings(write_cifs(tmp_path / "other" / "cifs", [*OLD, "barite"]))
    assert extended(other, dataset, told).n_structures == 4
    assert any("it is discarded" in line for line in told.lines)


def test_quarantined_structures_of_old_and_new_rows_move_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ArithmeticError("today")

    cifs = write_cifs(tmp_path / "cifs", OLD)
    dataset = tmp_path / "d.zarr"
    with monkeypatch.context() as patched:
        misbehave(patched, "Na", fail)
        make(settings(cifs), dataset)
    old = rows_of(dataset)
    config = settings(write_cifs(cifs, NEW))
    with monkeypatch.context() as patched:
        misbehave(patched, "Cu", fail)
        assert extended(config, dataset).n_structures == 5
    assert list(rows_of(dataset))[: len(old)] == list(old)
    assert make(config, dataset).n_structures_now == 0
    assert lines_of(dataset)["halite.cif"]["reason"] == "simulation_failed"


def test_changed_and_missing_files_are_reported_and_their_rows_kept(
    grown: tuple[DatagenConfig, Path], tmp_path: Path
) -> None:
    config, dataset = grown
    old = rows_of(dataset)
    (tmp_path / "cifs" / "quartz.cif").write_text("data_now_something_else\n")
    (tmp_path / "cifs" / "halite.cif").unlink()
    told = Told()
    extended(config, dataset, told)
    assert any("1 records have changed" in line and "quartz.cif" in line for line in told.lines)
    assert any("1 records are no longer in the catalogs" in line for line in told.lines)
    now = rows_of(dataset)
    assert {name: now[name] for name in old} == old


def test_what_cannot_be_extended_is_a_sentence(grown: tuple[DatagenConfig, Path], tmp_path: Path) -> None:
    config, dataset = grown
    with pytest.raises(StoreError, match="made, found none"):
        extended(config, tmp_path / "nothing.zarr")
    other = settings(tmp_path / "cifs", simulation={"instrument": SMALL, "augmentation": {"count": 3}})
    with pytest.raises(PlanError, match=r"simulation.augmentation.count: was 2, now 3"):
        extended(other, dataset)
    attributes = json.loads((dataset / "zarr.json").read_text())
    attributes["attributes"]["complete"] = False
    (dataset / "zarr.json").write_text(json.dumps(attributes))
    with pytest.raises(PlanError, match="is not finished"):
        extended(config, dataset)


def test_too_many_reflections_for_its_shards_are_refused(grown: tuple[DatagenConfig, Path]) -> None:
    config, dataset = grown
    content = content_of(dataset)
    with (
        patch("datagen.steps.accepted.most_reflections", return_value=10**6),
        pytest.raises(PlanError, match=r"room for 65,536 reflections.*datagen merge"),
    ):
        extended(config, dataset)
    assert content_of(dataset) == content


def test_a_new_structure_brings_its_density_if_the_dataset_has_densities(tmp_path: Path) -> None:
    densities = EXAMPLES / "densities"
    for first, expected in (("quartz", 2), ("halite", 0)):  # halite has none, and then nor has the dataset
        folder = tmp_path / first
        cifs = write_cifs(folder / "cifs", [first])
        if first == "quartz":
            shutil.copy(densities / "quartz.CHGCAR.gz", cifs)
        make(settings(cifs), folder / "d.zarr")
        write_cifs(cifs, ["cassiterite"])
        shutil.copy(densities / "cassiterite.CHGCAR.gz", cifs)
        told = Told()
        assert extended(settings(cifs), folder / "d.zarr", told).n_densities == expected
        assert any("which is left out" in line for line in told.lines) == (expected == 0)
        verify(folder / "d.zarr", sample=2)
