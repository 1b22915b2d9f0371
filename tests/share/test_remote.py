"""Datasets in a zip, on a web server and in an object store are read as on disk, in few requests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datagen.errors import ConfigError, StoreError
from datagen.inspect.describe import inspect
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.share.diff import diff
from datagen.share.facts import Naming
from datagen.share.finished import open_finished
from datagen.share.licences import Terms
from datagen.share.publish import publish
from datagen.share.subset import Selection, subset
from datagen.share.upload import upload
from datagen.store.location import locate
from tests.share.chunks import files_of
from tests.share.servers import WebServer, hostile_server, s3_server, web_server
from tests.share.test_cli_share import said
from trainer.data.store import open_dataset
from trainer.errors import TrainerError

pytest.importorskip("obstore")
NAMING = Naming("Ours", "1.0.0")


@pytest.fixture(scope="module")
def published(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publication with everything, including a density."""
    out = tmp_path_factory.mktemp("published") / "theirs.zarr"
    publish(theirs, out, NAMING, Terms(declared_open=("ICSD",)))
    return out


@pytest.fixture(scope="module")
def web(published: Path) -> Iterator[WebServer]:
    with web_server(published) as server:
        yield server


@pytest.fixture(scope="module")
def places(theirs: Path, published: Path, web: WebServer) -> Iterator[dict[str, str]]:
    """Four locations of one publication."""
    zipped = published.with_name("theirs.zarr.zip")
    publish(theirs, zipped, NAMING, Terms(declared_open=("ICSD",)))
    with s3_server() as bucket:
        upload(published, f"{bucket}/theirs")
        yield {"folder": str(published), "zip": str(zipped), "web": web.url, "s3": f"{bucket}/theirs"}


EVERYWHERE = pytest.mark.parametrize("where", ["folder", "zip", "web", "s3"])


@EVERYWHERE
def test_verify_reads_every_byte_and_regenerates_patterns(places: dict[str, str], where: str) -> None:
    found = verify(locate(places[where]), sample=3)
    assert (found.n_structures, found.n_shards, found.regenerated) == (5, 3, 3)
    assert found.n_bytes == verify(Path(places["folder"])).n_bytes


@EVERYWHERE
def test_inspect_and_replay_print_the_same_as_on_disk(places: dict[str, str], where: str) -> None:
    outputs = []
    for place in (places[where], places["folder"]):
        console = Console(record=True, width=200)
        inspect(locate(place), console)
        outputs.append(console.export_text().replace(place, "HERE"))
    assert outputs[0] == outputs[1]
    assert replay(locate(places[where]), "calcite.cif", 2).difference_steps == 0
    with pytest.raises(StoreError, match=r"did you mean calcite\.cif"):
        replay(locate(places[where]), "calcit", 0)


@EVERYWHERE
def test_the_trainer_reads_the_same_as_on_disk(places: dict[str, str], where: str) -> None:
    here, there = open_dataset(places["folder"]), open_dataset(places[where])
    assert there.complete
    assert there.rows("train").tolist() == here.rows("train").tolist()
    assert there.rows(with_density=True).tolist() == here.rows(with_density=True).tolist() != []
    for row in here.rows().tolist():
        assert np.array_equal(there.stored_pattern(row), here.stored_pattern(row))
        assert np.array_equal(there.sticks(row).intensity, here.sticks(row).intensity)
    row = int(here.rows(with_density=True)[0])
    assert np.array_equal(there.density(row), here.density(row))


@EVERYWHERE
def test_subsets_equal_those_made_on_disk(places: dict[str, str], where: str, tmp_path: Path) -> None:
    subset(locate(places[where]), tmp_path / "part.zarr", Selection(where="n_atoms <= 6"))
    subset(Path(places["folder"]), tmp_path / "same.zarr", Selection(where="n_atoms <= 6"))
    assert files_of(tmp_path / "part.zarr") == files_of(tmp_path / "same.zarr")
    assert diff(locate(places[where]), Path(places["folder"])).same_content


def test_only_needed_bytes_are_requested(web: WebServer, published: Path) -> None:
    whole = sum(len(data) for data in files_of(published).values())
    web.forget()
    inspect(locate(web.url), Console(quiet=True))
    assert not [path for path, _ in web.seen if path.startswith(("/pattern/c", "/density/c", "/reflection"))]
    metadata = [count for path, count in web.seen if path == "/zarr.json"]
    assert len(metadata) <= 4
    assert web.bytes - sum(metadata) < whole / 20
    web.forget()
    replay(locate(web.url), "calcite.cif", 1)
    assert sum(path.startswith("/pattern/c") for path, _ in web.seen) == 2, "the index of the shard, and the chunk"
    dataset = open_dataset(web.url)
    web.forget()
    dataset.stored_pattern(3)
    shard = len(files_of(published)["pattern/c/1/0/0"])
    assert len(web.seen) <= 3, "the array's metadata at most, the index, the chunk"
    assert web.asked <= 4, "and one question whether the file is there whole"
    assert sum(count for path, count in web.seen if path.startswith("/pattern/c")) < shard


def test_missing_and_damaged_files_are_reported_and_never_read_as_data(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zarr"
    shutil.copytree(published, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (copy / "pattern/c/1/0/0").unlink()
    with web_server(copy) as server:
        dataset = open_dataset(server.url)
        dataset.stored_pattern(0)
        with pytest.raises(TrainerError, match=r"pattern/c/1/0/0: expected \d+ bytes, found no file"):
            dataset.stored_pattern(2)
        with pytest.raises(StoreError, match=r"pattern/c/1/0/0: expected \d+ bytes, found no file"):
            verify(locate(server.url))
    damaged = bytearray((copy / "pattern/c/0/0/0").read_bytes())
    damaged[10] ^= 1
    (copy / "pattern/c/0/0/0").write_bytes(bytes(damaged))
    with web_server(copy) as server, pytest.raises(StoreError, match=r"pattern/c/0/0/0: expected sha256"):
        verify(locate(server.url))


def test_a_lost_connection_is_reported_and_leaves_no_dataset(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.store.remote.RETRIES", 0)
    monkeypatch.setattr("trainer.data.remote.RETRIES", 0)
    out = tmp_path / "part.zarr"
    with web_server(published) as server:
        dataset = open_dataset(server.url)
        open_finished(locate(server.url))
        server.gone_after = server.asked + 60
        with pytest.raises(StoreError, match="cannot be reached, read or written"):
            subset(locate(server.url), out, Selection())
        assert not out.exists()
        with pytest.raises(TrainerError, match="cannot be reached or read"):
            dataset.stored_pattern(4)
        server.gone_after = None
        subset(locate(server.url), out, Selection())
    verify(out)
    subset(published, tmp_path / "same.zarr", Selection())
    assert files_of(out) == files_of(tmp_path / "same.zarr")


def test_a_server_without_range_requests_is_reported(published: Path) -> None:
    with web_server(published, ranges=False) as server:
        with pytest.raises(TrainerError, match="range requests"):
            open_dataset(server.url).stored_pattern(0)
        with pytest.raises(StoreError, match="range requests"):
            replay(locate(server.url), "calcite.cif", 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://127.0.0.1:9/x.zarr", "cannot be reached"),
        ("s3://bucket/x.zarr.zip", "a zip cannot be read from a URL|a zip cannot be read remotely"),
        ("nothing.zarr.zip", "no dataset here|found none|found another file"),
        ("nothing.zarr", "no dataset here"),
    ],
)
def test_a_location_without_a_dataset_is_reported(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datagen.store.remote.RETRIES", 0)
    monkeypatch.setattr("trainer.data.remote.RETRIES", 0)
    with pytest.raises((StoreError, ConfigError), match=words):
        verify(locate(text))
    with pytest.raises(TrainerError, match=words):
        open_dataset(text)


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.store.remote.RETRIES", 0)
    monkeypatch.setattr("trainer.data.remote.RETRIES", 0)
    for read in (lambda text: verify(locate(text)), open_dataset):
        with pytest.raises((StoreError, TrainerError), match=r"127\.0\.0\.1:9/x\.zarr: cannot be reached") as failed:
            read("http://me:secret@127.0.0.1:9/x.zarr")
        assert "secret" not in str(failed.value)


def test_a_malformed_or_compressed_zip_is_reported(published: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.zarr.zip").write_bytes(b"PK but no zip")
    squeezed = Path(shutil.make_archive(str(tmp_path / "squeezed.zarr"), "zip", published))
    for path, words in ((tmp_path / "bad.zarr.zip", "expected a"), (squeezed, "compressed")):
        with pytest.raises(StoreError, match=words):
            locate(str(path))
        with pytest.raises(TrainerError, match=words):
            open_dataset(path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("declared", "expected at most 300,000,000 bytes, found 10,000,000,000,000"),
        ("drip", "cannot be reached"),
        ("endless", "cannot be reached"),
        ("headers", "cannot be reached"),
    ],
)
def test_a_dataset_whose_metadata_never_ends_is_refused_in_one_sentence(kind: str, words: str, tmp_path: Path) -> None:
    shorter = "from datetime import timedelta; from datagen.store import remote; remote.RETRIES = 0; "
    shorter += "remote.REQUEST_LIMIT = timedelta(seconds=2); from datagen.__main__ import main; main()"
    with hostile_server() as url:
        for arguments in (("inspect",), ("verify",), ("subset", "--out", str(tmp_path / "out.zarr"))):
            command = [sys.executable, "-c", shorter, arguments[0], f"{url}/{kind}/x.zarr", *arguments[1:]]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert ended.returncode == 2, ended.stderr
            assert words in ended.stderr
            assert len(ended.stderr.splitlines()) == 1


def test_a_file_that_the_disk_cannot_hold_is_not_fetched() -> None:
    with hostile_server() as url:
        dataset = locate(f"{url}/declared/x.zarr")
        assert not isinstance(dataset, Path)
        for fetch in (dataset.view, dataset.arrow_file):
            with pytest.raises(StoreError, match=r"curation\.parquet: has 10,000,000,000,000 bytes, but .* free"):
                fetch("curation.parquet")


def test_commands_accept_a_url_and_a_zip(places: dict[str, str]) -> None:
    for where in ("web", "s3", "zip"):
        assert "good:" in said("verify", places[where], "--deep", "--sample", "2")
        assert "equal, bit for bit" in said("replay", places[where], "rutile.cif")
        assert "5 structures x 3 patterns" in said("inspect", places[where])
