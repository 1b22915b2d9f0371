"""Downloads of publications: resumable, complete and checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datagen.errors import StoreError
from datagen.share.facts import Naming
from datagen.share.fetch import fetch
from datagen.share.licences import Terms
from datagen.share.publish import publish
from tests.share.chunks import files_of
from tests.share.servers import web_server
from tests.share.test_cli_share import said

pytest.importorskip("obstore")
NAMING = Naming("Ours", "1.0.0")


@pytest.fixture(scope="module")
def published(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "ours.zarr"
    publish(ours, out, NAMING, Terms())
    return out


def writable(published: Path, copy: Path) -> Path:
    shutil.copytree(published, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def test_a_registered_dataset_is_downloaded_and_a_re_run_sends_only_what_is_missing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datagen.store.remote.RETRIES", 0)
    with web_server(published) as server:
        said("datasets", "add", "mine", server.url)
        server.forget()
        server.gone_after = 40
        with pytest.raises(StoreError, match="re-run the same command"):
            fetch("mine", tmp_path / "here.zarr")
        assert not (tmp_path / "here.zarr").exists()
        server.gone_after = None
        first = {path for path, _ in server.seen}
        server.forget()
        assert f"{len(files_of(published))} files" in said("datasets", "download", "mine", "here.zarr")
        again = {path for path, _ in server.seen}
    assert first & again == {"/SHA256SUMS"}
    assert files_of(tmp_path / "here.zarr") == files_of(published)
    assert not (tmp_path / ".here.zarr.making").exists()
    with pytest.raises(StoreError, match="exists already"):
        fetch("mine", tmp_path / "here.zarr")


def test_a_damaged_file_a_missing_file_and_a_name_outside_are_refused(published: Path, tmp_path: Path) -> None:
    damaged = writable(published, tmp_path / "damaged")
    (damaged / "README.md").write_text("another")
    missing = writable(published, tmp_path / "missing")
    (missing / "labels.parquet").unlink()
    outside = writable(published, tmp_path / "outside")
    (outside / "SHA256SUMS").write_text(f"{'0' * 64}  ../../evil\n")
    listless = writable(published, tmp_path / "listless")
    (listless / "SHA256SUMS").unlink()
    for folder, words in (
        (damaged, r"README\.md: expected sha256"),
        (missing, r"labels\.parquet is listed in SHA256SUMS, but missing"),
        (outside, "expected the name of a file inside the dataset"),
        (listless, "expected a publication with its SHA256SUMS"),
    ):
        with web_server(folder) as server, pytest.raises(StoreError, match=words):
            fetch(server.url, tmp_path / "out.zarr")
        assert not (tmp_path / "out.zarr").exists()
        shutil.rmtree(tmp_path / ".out.zarr.making", ignore_errors=True)


def test_a_zip_is_unpacked(ours: Path, published: Path, tmp_path: Path) -> None:
    publish(ours, tmp_path / "mine.zarr.zip", NAMING, Terms())
    fetch(str(tmp_path / "mine.zarr.zip"), tmp_path / "here.zarr")
    assert files_of(tmp_path / "here.zarr") == files_of(published)
