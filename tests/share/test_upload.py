"""Uploads of publications to an object store, and reading from it in few requests."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from datagen.errors import ConfigError, StoreError
from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.publish import publish, publish_to_url
from datagen.share.upload import MARKER, upload
from tests.share.chunks import files_of
from tests.share.servers import s3_server, web_server
from trainer.data.store import open_dataset

pytest.importorskip("obstore")
NAMING = Naming("Ours", "1.0.0")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def published(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "ours.zarr"
    publish(ours, out, NAMING, Terms())
    return out


def listed(url: str) -> dict[str, bytes]:
    from obstore.store import from_url

    store = from_url(url)
    return {e["path"]: bytes(store.get(e["path"]).bytes()) for batch in store.list() for e in batch}


def test_an_upload_has_the_bytes_of_the_folder(s3: str, ours: Path, published: Path) -> None:
    publish_to_url(ours, f"{s3}/whole", NAMING, Terms())
    assert listed(f"{s3}/whole") == files_of(published)
    assert [p.name for p in ours.parent.glob(".*publication*")] == []
    with pytest.raises(StoreError, match="exists already"):
        publish_to_url(ours, f"{s3}/whole", NAMING, Terms())


def test_an_interrupted_upload_cannot_be_opened_and_resumes(
    s3: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.exceptions import GenericError
    from obstore.store import S3Store

    put, sent = S3Store.put, list[str]()

    def failing(store: Any, name: str, *given: Any, **more: Any) -> Any:
        if len(sent) == 30:
            raise GenericError("the network is gone")
        sent.append(name)
        return put(store, name, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", failing)
        with pytest.raises(StoreError, match="re-run the same command"):
            upload(published, f"{s3}/cut")
    assert "zarr.json" not in listed(f"{s3}/cut")
    assert MARKER in listed(f"{s3}/cut")
    sent.clear()
    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", lambda *a, **m: (sent.append(a[1]), put(*a, **m))[1])
        upload(published, f"{s3}/cut")
    assert len(sent) == len(files_of(published)) - 29 + 1, "only what was missing, and the claim"
    assert listed(f"{s3}/cut") == files_of(published)


def test_different_publications_never_mix(s3: str, published: Path, ours: Path, tmp_path: Path) -> None:
    from obstore.store import from_url

    from_url(f"{s3}/claimed").put(MARKER, b"another")
    with pytest.raises(StoreError, match="another publication is being uploaded"):
        upload(published, f"{s3}/claimed")
    from_url(f"{s3}/foreign").put("thesis.pdf", b"words")
    with pytest.raises(StoreError, match="holds other files"):
        upload(published, f"{s3}/foreign")
    assert set(listed(f"{s3}/foreign")) == {"thesis.pdf"}


def test_a_missing_bucket_is_reported(s3: str, published: Path) -> None:
    with pytest.raises(StoreError, match="cannot be reached, read or written"):
        upload(published, "s3://nosuchbucket/x")


def test_xarray_reads_the_same_from_s3_as_from_disk(s3: str, published: Path) -> None:
    from obstore.store import from_url
    from zarr.storage import ObjectStore

    upload(published, f"{s3}/read")
    remote = xarray.open_zarr(ObjectStore(from_url(f"{s3}/read"), read_only=True), chunks=None)
    local = xarray.open_zarr(published, chunks=None)
    assert np.array_equal(remote.pattern[4].values, local.pattern[4].values)
    assert np.array_equal(remote.space_group.values, local.space_group.values)


def test_one_structure_over_http_takes_few_requests_and_bytes(published: Path) -> None:
    from obstore.store import HTTPStore
    from zarr.storage import ObjectStore

    with web_server(published) as server:
        store = ObjectStore(HTTPStore.from_url(server.url, client_options={"allow_http": True}), read_only=True)
        remote = xarray.open_zarr(store, chunks=None)
        server.forget()
        pattern = remote.pattern.isel(structure=3).values
        seen = list(server.seen)
    raw = open_dataset(published).stored_pattern(3)
    assert np.array_equal(pattern, (raw * np.float64(2.0**-13)).astype(pattern.dtype))
    of_pattern = [(path, count) for path, count in seen if path.startswith("/pattern/c/")]
    assert len(of_pattern) == len(seen) <= 2, "the index of the shard, then the structure's chunk"
    whole = len(files_of(published)["pattern/c/1/0/0"])
    assert sum(count for _, count in of_pattern) < whole


def test_a_server_that_does_not_answer_is_reported(s3: str, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    with pytest.raises(StoreError, match="check the address, the network and the credentials"):
        upload(published, f"{s3}/nowhere")


def test_missing_credentials_are_reported_before_any_request(
    s3: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="credentials are missing"):
        upload(published, f"{s3}/x")


def test_a_missing_obstore_is_reported(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(ConfigError, match="pip install obstore"):
        upload(published, "s3://bucket/x")
