"""Publications on the Hugging Face Hub: resumable uploads, versions, and reading in place."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datagen.errors import ConfigError, StoreError
from datagen.inspect.verify import verify
from datagen.share import hub as uploads
from datagen.share.facts import Naming
from datagen.share.hub import MARKER, check_limits, upload_to_hub
from datagen.share.licences import Terms
from datagen.share.publish import publish, publish_to_url
from datagen.store.location import locate
from tests.share.chunks import files_of
from tests.share.hub_server import TOKEN, Hub, Stored, hub_server
from tests.share.test_cli_share import said
from tests.trainer.test_cli import SMALL, trainer
from trainer.data.store import open_dataset
from trainer.errors import TrainerError

pytest.importorskip("obstore")
pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of huggingface_hub, uploading
NAMING = Naming("Ours", "1.0.0")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # read from the environment on import
    with hub_server() as server:
        yield server


@pytest.fixture(scope="module")
def published(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "ours.zarr"
    publish(ours, out, NAMING, Terms())
    return out


def content(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    files = hub.repositories["group/ours"].at(revision)
    assert files is not None
    return {name: stored.content for name, stored in files.items() if name != ".gitattributes"}


def test_a_publication_is_uploaded_verified_and_trained_on_in_place(
    hub: Hub, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "version 1.0.0, complete" in said("publish", ours, "hf://group/ours", "--yes")
    page = f"{hub.url}/datasets/group/ours"
    publish(ours, tmp_path / "same.zarr", Naming("ours", "1.0.0", url=page), Terms())
    assert content(hub) == content(hub, "1.0.0") == files_of(tmp_path / "same.zarr")
    assert [p.name for p in ours.parent.glob(".*publication*")] == []
    assert len(hub.repositories["group/ours"].messages) == 1, "readers see the whole version or nothing"

    assert "good:" in said("verify", "hf://group/ours", "--deep", "--sample", "6")
    assert "6 structures x 3 patterns" in said("inspect", "hf://group/ours@1.0.0")
    said("datasets", "add", "mine", "hf://group/ours")
    here, there = open_dataset(tmp_path / "same.zarr"), open_dataset("mine")
    assert np.array_equal(there.stored_pattern(5), here.stored_pattern(5))
    command = ("fit", "alphadiffract", "mine", "--out", tmp_path / "fit", "--epochs", 1, "--samples", 1)
    code, told = trainer(*command, "--device", "cpu", *SMALL, "--set", "model.input_points=512")
    assert code == 0, told
    assert all(TOKEN.encode() not in data for data in [*content(hub).values(), *files_of(tmp_path).values()])


def test_the_token_reaches_the_hub_only(hub: Hub, published: Path) -> None:
    upload_to_hub(published, "hf://group/ours", "1.0.0", private=True)
    verify(locate("hf://group/ours"))
    open_dataset("hf://group/ours").stored_pattern(0)
    storage = [r for r in hub.requests if r.path.startswith(("/cdn/", "/lfs-storage/"))]
    assert {r.method for r in storage} == {"GET", "PUT", "HEAD"}
    assert {r.authorization for r in storage} == {None}


def test_an_interrupted_upload_cannot_be_opened_and_sends_nothing_twice(hub: Hub, published: Path) -> None:
    def fault(method: str, path: str) -> int | None:
        return 403 if method == "PUT" and len(hub.uploaded) >= 20 else None

    hub.fault = fault
    with pytest.raises(StoreError, match=r"the Hub answered 403 .*write access"):
        upload_to_hub(published, "hf://group/ours", "1.0.0", private=False)
    assert content(hub) == {}
    first = set(hub.uploaded)
    hub.fault = lambda method, path: 500 if path.endswith("/commit/main") else None
    with pytest.raises(StoreError, match=r"the Hub answered 500 .*re-run the same command to resume"):
        upload_to_hub(published, "hf://group/ours", "1.0.0", private=False)
    hub.fault = lambda method, path: None
    second = hub.uploaded[20:]
    assert first
    assert not first & set(second)
    upload_to_hub(published, "hf://group/ours", "1.0.0", private=False)
    assert hub.uploaded[20:] == second
    assert content(hub) == files_of(published)


def test_a_large_publication_is_committed_in_parts_and_is_complete_only_after_the_last(
    hub: Hub, ours: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(ours, tmp_path / "another.zarr", NAMING, Terms("patterns"))
    monkeypatch.setattr(uploads, "FILES_OF_A_COMMIT", 30)
    monkeypatch.setattr(uploads, "_BATCH", 7)
    hub.fault = lambda method, path: (
        500 if path.endswith("/commit/main") and hub.asked("POST", "/commit/") > 3 else None
    )
    with pytest.raises(StoreError, match="re-run"):
        upload_to_hub(published, "hf://group/ours", "1.0.0", private=False)
    assert len(content(hub)) == 61
    assert MARKER in content(hub)
    sent = len(hub.uploaded)
    with pytest.raises(StoreError, match="no dataset here"):
        verify(locate("hf://group/ours"))
    hub.fault = lambda method, path: None
    with pytest.raises(StoreError, match="another publication is being uploaded"):
        upload_to_hub(tmp_path / "another.zarr", "hf://group/ours", "1.0.0", private=False)
    upload_to_hub(published, "hf://group/ours", "1.0.0", private=False)
    assert content(hub) == files_of(published)
    assert not set(hub.uploaded[:sent]) & set(hub.uploaded[sent:]), "those of the failed commit were there already"


def test_a_new_version_replaces_files_in_one_commit_and_the_old_one_stays_readable(hub: Hub, ours: Path) -> None:
    publish_to_url(ours, "hf://group/ours", NAMING, Terms())
    first = content(hub)
    hub.repositories["group/ours"].files["figure.png"] = Stored(b"of the owner", large=False)
    with pytest.raises(StoreError, match=r"has version 1\.0\.0 already; choose another --version, such as 1\.1\.0"):
        publish_to_url(ours, "hf://group/ours", NAMING, Terms())
    sent = len(hub.uploaded)
    publish_to_url(ours, "hf://group/ours", Naming("Ours", "1.1.0"), Terms("patterns"))
    assert "reflections.parquet" in first
    assert "reflections.parquet" not in content(hub)
    assert content(hub)["figure.png"] == b"of the owner"
    assert content(hub, "1.0.0") == first
    same = {name for name, data in first.items() if content(hub).get(name) == data}
    assert len(same) > 20
    assert not {hashlib.sha256(first[name]).hexdigest() for name in same} & set(hub.uploaded[sent:])
    verify(locate("hf://group/ours@1.0.0"))
    verify(locate("hf://group/ours"))


def test_a_repository_with_other_files_is_left_alone(hub: Hub, ours: Path) -> None:
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url).create_repo("group/ours", repo_type="dataset")
    HfApi(endpoint=hub.url).upload_file(
        path_or_fileobj=b"words", path_in_repo="thesis.txt", repo_id="group/ours", repo_type="dataset"
    )
    with pytest.raises(StoreError, match=r"holds other files, such as thesis\.txt"):
        publish_to_url(ours, "hf://group/ours", NAMING, Terms())
    assert content(hub) == {"thesis.txt": b"words"}


def test_limits_are_checked_before_a_byte_moves(hub: Hub, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="expected at most 100,000 files, found 100,001"):
        check_limits("hf://group/ours", {f"a/{i // 1000}/{i}": 1 for i in range(100_001)})
    with pytest.raises(StoreError, match="at most 10,000 entries in a folder, found 10,001 in pattern/c"):
        check_limits("hf://group/ours", {f"pattern/c/{i}/0/0": 1 for i in range(10_001)})
    with pytest.raises(StoreError, match=r"expected files of at most 50 GB, found pattern/c/0/0/0 with 51 GB"):
        check_limits("hf://group/ours", {"pattern/c/0/0/0": 51 * 10**9})
    monkeypatch.setattr(uploads, "MAX_FILES", 5)
    with pytest.raises(StoreError, match="expected at most 5 files"):
        upload_to_hub(published, "hf://group/ours", "1.0.0", private=False)
    assert hub.requests == []


def test_missing_and_wrong_tokens_and_addresses_are_reported(
    hub: Hub, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("hf://ours", "hf://group/ours/x", "hf://group/o urs"):
        with pytest.raises(ConfigError, match="expected hf://ORG/NAME"):
            publish_to_url(ours, url, NAMING, Terms())
        with pytest.raises(TrainerError, match="expected hf://ORG/NAME"):
            open_dataset(url)
    with pytest.raises(ConfigError, match="--version names the tag"):
        publish_to_url(ours, "hf://group/ours@1.0.0", NAMING, Terms())
    monkeypatch.setenv("HF_TOKEN", "hf_wrongSecret")
    with pytest.raises(StoreError, match=r"the Hub answered 401 .*set HF_TOKEN to a valid token") as failed:
        publish_to_url(ours, "hf://group/ours", NAMING, Terms())
    assert "hf_wrongSecret" not in str(failed.value)
    with pytest.raises(StoreError, match=r"cannot be reached, read or written .*HF_TOKEN; a private dataset needs one"):
        verify(locate("hf://group/ours"))
    with pytest.raises(TrainerError, match="HF_TOKEN; a private dataset needs one"):
        open_dataset("hf://group/ours")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="a token is missing; set HF_TOKEN"):
        publish_to_url(ours, "hf://group/ours", NAMING, Terms())
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    publish_to_url(ours, "hf://group/ours", NAMING, Terms())


def test_a_missing_package_is_reported(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(ConfigError, match="pip install huggingface_hub"):
        publish_to_url(ours, "hf://group/ours", NAMING, Terms())
