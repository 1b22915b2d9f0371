"""An index made by the workers of a cluster is the one that is made by processes here."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cluster.config import InlineProfile, LocalProfile, Profile
from datagen.commands.app import app
from datagen.errors import StoreError
from datagen.identification.index import folder_of
from datagen.identification.index_build import build_index
from datagen.identification.index_on_cluster import PartOrder, index_part
from datagen.identification.index_writer import IndexWriter
from datagen.progress import Silence
from datagen.steps.workers import Workers


@pytest.fixture
def parted(library: Path, tmp_path: Path) -> Path:
    """Return a copy of the library whose table has a group without a structure beside those with some."""
    copied = tmp_path / "minerals.zarr"
    shutil.copytree(library, copied)
    table = pq.read_table(copied / "curation.parquet")
    row = table.schema.get_field_index("row")
    none = table.slice(0, 2).set_column(row, table.schema.field(row), pa.nulls(2, table.schema.field(row).type))
    with pq.ParquetWriter(copied / "curation.parquet", table.schema) as writer:
        writer.write_table(none)
        writer.write_table(table, row_group_size=3)
    return copied


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of the files of a folder without folders."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("profile", [InlineProfile(kind="inline"), LocalProfile(workers=2)])
def test_it_is_the_same_index(parted: Path, tmp_path: Path, profile: Profile) -> None:
    reports: list[int] = []
    here = build_index(parted, tmp_path / "here.index", workers=1, report=reports.append)
    there: list[int] = []
    with Workers(profile, Silence()) as workers:
        made = build_index(parted, tmp_path / "there.index", cluster=workers, report=there.append)
    assert files_of(made) == files_of(here)
    assert there[-1] == reports[-1] == json.loads((here / "index.json").read_text())["structures"]
    assert there == sorted(there)
    assert len(there) > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.index", "minerals.zarr", "there.index"]


def test_the_command_takes_a_cluster_of_a_configuration(parted: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[[catalog]]\nkind = "examples"\n[cluster.mine]\nkind = "inline"\n')
    runner = CliRunner()
    result = runner.invoke(app, ["index", str(parted), "--cluster", "mine", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert "index of" in result.output
    assert (folder_of(parted) / "index.json").is_file()
    shutil.rmtree(folder_of(parted))
    config.write_text(config.read_text().replace("[cluster.mine]", "[cluster]"))
    result = runner.invoke(app, ["index", str(parted), "--config", str(config)])
    assert result.exit_code == 0, result.output
    shutil.rmtree(folder_of(parted))
    unknown = runner.invoke(app, ["index", str(parted), "--cluster", "other", "--config", str(config)])
    assert unknown.exit_code != 0
    assert "no cluster profile 'other'" in str(unknown.exception or unknown.output)
    assert not folder_of(parted).exists()


def test_a_damaged_part_is_one_sentence_and_leaves_nothing(parted: Path, tmp_path: Path) -> None:
    table = pq.read_table(parted / "curation.parquet")
    column = table.schema.get_field_index("structure")
    texts = table["structure"].to_pylist()
    texts[-1] = '{"lattice_A": 3}'
    pq.write_table(table.set_column(column, "structure", pa.array(texts)), parted / "curation.parquet")
    with Workers(InlineProfile(kind="inline"), Silence()) as workers, pytest.raises(StoreError, match="is damaged"):
        build_index(parted, tmp_path / "there.index", cluster=workers)
    assert [path.name for path in tmp_path.iterdir()] == ["minerals.zarr"]


def test_a_full_disk_is_not_taken_for_damage(parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexWriter, "add", full)
    with (
        Workers(InlineProfile(kind="inline"), Silence()) as workers,
        pytest.raises(StoreError, match="free disk space"),
    ):
        build_index(parted, tmp_path / "there.index", cluster=workers)
    with pytest.raises(OSError, match="No space left"):
        build_index(parted, tmp_path / "there.index", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["minerals.zarr"]


def test_what_killed_programs_have_left_is_removed(parted: Path, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname()
    left = [f".there.index.{host}-{ended.pid}.abc.partial", f".there.index.{host}-{os.getpid()}.abc.partial",
            f".there.index.elsewhere-{ended.pid}.abc.partial"]  # fmt: skip
    for name in left:
        (tmp_path / name).mkdir()
    build_index(parted, tmp_path / "there.index", workers=1)
    assert [(tmp_path / name).exists() for name in left] == [False, True, True]


def test_a_part_may_be_made_twice(parted: Path, tmp_path: Path) -> None:
    order = PartOrder(str(parted), 1, str(tmp_path / "part-1"))
    first = index_part(order)
    before = files_of(tmp_path / "part-1")
    assert index_part(order) == first
    assert files_of(tmp_path / "part-1") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["minerals.zarr", "part-1"]
    empty = index_part(PartOrder(str(parted), 0, str(tmp_path / "part-0")))
    assert (empty.structures, empty.left_out) == (0, 0)
    assert not (tmp_path / "part-0").exists()
