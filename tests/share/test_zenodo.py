"""Publications on Zenodo: the DOI comes first, uploads resume, and nothing is published without confirmation."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datagen.commands.app import app
from datagen.errors import ConfigError, StoreError
from datagen.inspect.verify import verify
from datagen.share import zenodo
from datagen.share.deposit import publish_to_zenodo
from datagen.share.facts import Naming
from datagen.share.fetch import fetch
from datagen.share.licences import Terms
from tests.share.chunks import files_of
from tests.share.test_cli_share import said
from tests.share.zenodo_server import TOKEN, Zenodo, zenodo_server
from tests.trainer.test_cli import SMALL, trainer

NAMING = Naming("Six crystals", "1.0.0", ("A Group",), date="2026-11-20")
OPTIONS = ("--name", "Six crystals", "--creator", "A Group", "--date", "2026-11-20", "--yes")


@pytest.fixture
def server() -> Iterator[Zenodo]:
    with zenodo_server() as state:
        yield state


@pytest.fixture
def mine(ours: Path, tmp_path: Path) -> Path:
    """A dataset of its own folder: drafts are remembered beside it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine.zarr").symlink_to(ours)
    return tmp_path / "home" / "mine.zarr"


def send(dataset: Path, dest: str = "zenodo:", naming: Naming = NAMING, *, publish: bool = True) -> str:
    waits: list[float] = []
    return publish_to_zenodo(dataset, dest, naming, Terms(), lambda _: publish, sleep=waits.append).record


def beside(dataset: Path) -> list[str]:
    return sorted(path.name for path in dataset.parent.iterdir() if path.name != dataset.name)


def test_a_record_is_published_downloaded_verified_and_trained_on(server: Zenodo, mine: Path, tmp_path: Path) -> None:
    told = said("publish", mine, "zenodo:", *OPTIONS, "--confirm")
    assert "published as https://doi.org/10.5281/zenodo.1000" in told
    record = server.records["1000"]
    assert record.published
    assert set(record.files) == {"README.md", "CITATION.cff", "labels.parquet", "mine-1.0.0.zarr.zip"}
    assert record.metadata["rights"] == [{"id": "cc-by-4.0"}]
    assert record.metadata["creators"] == [{"person_or_org": {"type": "organizational", "name": "A Group"}}]
    requests = [path for _, path in server.requests]
    assert requests.index("/api/records/1000/draft/pids/doi") < min(i for i, p in enumerate(requests) if "/files" in p)
    assert beside(mine) == []

    out = tmp_path / "back.zarr"
    assert "every checksum correct" in said("datasets", "download", "zenodo:1000", out)
    doi = "https://doi.org/10.5281/zenodo.1000"
    assert f"doi: {json.dumps('10.5281/zenodo.1000')}" in (out / "CITATION.cff").read_text()
    assert json.loads((out / "croissant.json").read_text())["url"] == doi
    assert f"version 1.0.0. {doi}" in (out / "README.md").read_text()
    assert record.files["README.md"] == (out / "README.md").read_bytes()
    assert "good:" in said("verify", out, "--deep", "--sample", "6")
    command = ("fit", "alphadiffract", out, "--out", tmp_path / "fit", "--epochs", 1, "--samples", 1)
    code, words = trainer(*command, "--device", "cpu", *SMALL, "--set", "model.input_points=512")
    assert code == 0, words
    with zipfile.ZipFile(io.BytesIO(record.files["mine-1.0.0.zarr.zip"] or b"")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files_of(out)
    assert all(TOKEN.encode() not in (data or b"") for data in [*record.files.values(), *files_of(out).values()])


def test_nothing_is_published_without_confirmation_and_a_re_run_asks_again(server: Zenodo, mine: Path) -> None:
    result = CliRunner().invoke(app, ["publish", str(mine), "zenodo:", *OPTIONS], input="n\n", env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "a draft; re-run the same command to publish it" in result.output
    assert not server.records["1000"].published
    assert TOKEN not in "".join(path.read_text() for path in mine.parent.glob(".*.json"))
    sent = list(server.sent)
    result = CliRunner().invoke(app, ["publish", str(mine), "zenodo:", *OPTIONS], input="y\n", env={"COLUMNS": "200"})
    assert "published as https://doi.org/10.5281/zenodo.1000" in result.output
    assert server.sent == sent
    assert list(server.records) == ["1000"]
    assert beside(mine) == []


def test_an_interrupted_upload_resumes_with_the_same_draft_and_sends_nothing_twice(
    server: Zenodo, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zenodo, "PART_BYTES", 40_000)
    server.fault = lambda method, path: 0 if method == "PUT" and "part-02-of-" in path else None
    with pytest.raises(StoreError, match=r"no answer .*re-run the same command to resume"):
        send(mine)
    before = list(server.sent)
    assert len(before) >= 3
    server.fault = lambda method, path: None
    assert send(mine) == "1000"
    assert sorted(server.sent) == sorted(server.records["1000"].files)
    assert list(server.records) == ["1000"]


def test_transient_failures_are_repeated(server: Zenodo, mine: Path) -> None:
    left = {"GET": [502], "PUT": [500, 0, 503], "POST": [429, 503]}
    server.fault = lambda method, path: left[method].pop() if left.get(method) else None
    assert send(mine) == "1000"
    assert left == {"GET": [], "PUT": [], "POST": []}
    assert len(server.records) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "the server answered 401: fault 401; set ZENODO_TOKEN to a valid token"),
        (403, r"fault 403; set ZENODO_TOKEN to a token .*deposit:write"),
        (413, "fault 413; .*ask it for a larger quota"),
        (500, r"no answer \(500: fault 500\); re-run"),
    ],
)
def test_refusals_are_explained_without_the_token(server: Zenodo, mine: Path, status: int, words: str) -> None:
    server.fault = lambda method, path: status if method == "PUT" else None
    with pytest.raises(StoreError, match=words) as failed:
        send(mine)
    assert TOKEN not in str(failed.value)
    assert not server.records["1000"].published


def test_a_damaged_upload_is_noticed(server: Zenodo, mine: Path) -> None:
    def fault(method: str, path: str) -> int | None:
        if path.endswith("README.md/commit"):
            server.records["1000"].files["README.md"] = b"damaged"
        return None

    server.fault = fault
    with pytest.raises(StoreError, match=r"README\.md: expected checksum md5:\w+, found md5:"):
        send(mine)
    server.fault = lambda method, path: None
    assert send(mine) == "1000"


def test_a_new_version_belongs_to_the_same_record(server: Zenodo, mine: Path, tmp_path: Path) -> None:
    send(mine)
    assert send(mine, "zenodo:1000", replace(NAMING, version="1.1.0")) == "1001"
    second = server.records["1001"]
    assert (second.parent, second.metadata["version"]) == ("1000", "1.1.0")
    assert second.metadata["publication_date"] == "2026-11-20"
    assert "mine-1.1.0.zarr.zip" in second.files
    fetch("zenodo:1000", tmp_path / "first.zarr")
    fetch("zenodo:1001", tmp_path / "second.zarr")
    assert verify(tmp_path / "second.zarr").n_bytes > 0
    assert b"zenodo.1001" in (tmp_path / "second.zarr" / "README.md").read_bytes()
    assert b"zenodo.1001" not in (tmp_path / "first.zarr" / "README.md").read_bytes()


def test_limits_are_checked_before_the_server_is_asked(
    server: Zenodo, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match=r"at most 100 files and 50 GB, found 101 and 1 "):
        zenodo.check_limits("zenodo:", 101, 1)
    monkeypatch.setattr(zenodo, "MAX_BYTES", 1000)
    with pytest.raises(StoreError, match=r"expected at most 100 files and .*publish a subset"):
        send(mine)
    assert server.requests == []
    monkeypatch.setattr(zenodo, "MAX_BYTES", 50_000)
    with pytest.raises(StoreError, match="expected at most 100 files and"):
        send(mine)
    assert not [path for method, path in server.requests if "/files" in path], "only the DOI was reserved"


def test_missing_settings_are_reported_before_a_request(
    server: Zenodo, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for naming, words in (
        (replace(NAMING, creators=()), "expected --creator"),
        (replace(NAMING, date=""), "expected --date"),
        (replace(NAMING, url="https://example.org"), "expected no --url"),
    ):
        with pytest.raises(ConfigError, match=words):
            send(mine, naming=naming)
    with pytest.raises(ConfigError, match="expected zenodo: for a new record"):
        send(mine, "zenodo:sandbox.zenodo.org")
    with pytest.raises(StoreError, match=r"/api/records/77/versions: not found"):
        send(mine, "zenodo:77")
    server.requests.clear()
    monkeypatch.setenv("ZENODO_TOKEN", "")
    with pytest.raises(ConfigError, match="a token is missing; set ZENODO_TOKEN"):
        send(mine)
    monkeypatch.setenv("ZENODO_URL", "zenodo.org")
    with pytest.raises(ConfigError, match=r"ZENODO_URL: expected an http\(s\) URL"):
        send(mine)
    assert server.requests == []


def test_a_discarded_draft_is_reported(server: Zenodo, mine: Path) -> None:
    send(mine, publish=False)
    del server.records["1000"]
    with pytest.raises(
        StoreError, match=r"the draft 1000 was published or discarded; to begin a new one, remove .*json"
    ):
        send(mine)


def test_a_download_resumes_from_where_it_ended_and_checks_every_file(
    server: Zenodo, mine: Path, tmp_path: Path
) -> None:
    send(mine)
    name = "mine-1.0.0.zarr.zip"
    whole = server.records["1000"].files[name]
    assert whole is not None
    for number, ranges in enumerate((True, False)):
        server.ranges = ranges
        out = tmp_path / f"back{number}.zarr"
        making = tmp_path / f".back{number}.zarr.making"
        server.fault = lambda method, path: 503 if path.endswith("/content") else None
        with pytest.raises(StoreError, match=r"the download ended \(503 .*re-run the same command to resume"):
            fetch("zenodo:1000", out)
        (making / name).write_bytes(whole[:10_000])
        server.fault = lambda method, path: None
        fetch("zenodo:1000", out)
        assert files_of(out)["zarr.json"]
        assert not making.exists()
    damaged = bytearray(whole)
    damaged[5000] ^= 1
    server.records["1000"].files[name] = bytes(damaged)
    with pytest.raises(StoreError, match=r"expected sha256|expected a zip"):
        fetch("zenodo:1000", tmp_path / "damaged.zarr")
    assert not (tmp_path / "damaged.zarr").exists()
    with pytest.raises(StoreError, match="not found"):
        fetch("zenodo:4711", tmp_path / "none.zarr")
