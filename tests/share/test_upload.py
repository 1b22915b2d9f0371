"""A publication in an object store: whole or not to be opened, and read from there in small pieces."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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
from trainer.store import open_dataset

pytest.importorskip("obstore")
moto_server = pytest.importorskip("moto.server")
NAMING = Naming("Ours", "1.0.0")


@pytest.fixture(scope="module")
def s3(request: pytest.FixtureRequest) -> Iterator[str]:
    """An S3 server on loopback with one bucket; its address is in the environment as everybody's is."""
    import obstore

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    patch = pytest.MonkeyPatch()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
    import urllib.request

    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/bucket", method="PUT")).close()
    assert obstore is not None
    yield "s3://bucket"
    patch.undo()
    server.stop()


@pytest.fixture(scope="module")
def published(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "ours.zarr"
    publish(ours, out, NAMING, Terms())
    return out


def listed(url: str) -> dict[str, bytes]:
    from obstore.store import from_url

    store = from_url(url)
    return {e["path"]: bytes(store.get(e["path"]).bytes()) for batch in store.list() for e in batch}


def test_what_is_uploaded_is_byte_for_byte_the_folder(s3: str, ours: Path, published: Path) -> None:
    publish_to_url(ours, f"{s3}/whole", NAMING, Terms())
    assert listed(f"{s3}/whole") == files_of(published)
    assert [p.name for p in ours.parent.glob(".*publication*")] == []
    with pytest.raises(StoreError, match="something is there already"):
        publish_to_url(ours, f"{s3}/whole", NAMING, Terms())


def test_an_upload_cut_off_cannot_be_opened_and_goes_on(
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
        with pytest.raises(StoreError, match="give the same command again"):
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
    with pytest.raises(StoreError, match="another publication's upload"):
        upload(published, f"{s3}/claimed")
    from_url(f"{s3}/foreign").put("thesis.pdf", b"words")
    with pytest.raises(StoreError, match="other files are there"):
        upload(published, f"{s3}/foreign")
    assert set(listed(f"{s3}/foreign")) == {"thesis.pdf"}


def test_a_bucket_that_does_not_exist_is_said_in_words(s3: str, published: Path) -> None:
    with pytest.raises(StoreError, match="cannot be reached, read or written"):
        upload(published, "s3://nosuchbucket/x")


def test_xarray_reads_from_s3_what_lies_on_disk(s3: str, published: Path) -> None:
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

    seen: list[tuple[str, int]] = []

    class Counting(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = files_of(published).get(self.path.lstrip("/"))
            if data is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, first, last = 200, 0, len(data) - 1
            if (asked := self.headers.get("Range")) is not None:
                a, _, b = asked.removeprefix("bytes=").partition("-")
                status, first, last = 206, int(a) if a else len(data) - int(b), int(b) if a and b else len(data) - 1
            seen.append((self.path, last - first + 1))
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Last-Modified", "Tue, 01 Jan 1980 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(data[first : last + 1])

        def do_HEAD(self) -> None:
            data = files_of(published).get(self.path.lstrip("/"))
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.send_header("Last-Modified", "Tue, 01 Jan 1980 00:00:00 GMT")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        store = ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}), read_only=True)
        remote = xarray.open_zarr(store, chunks=None)
        opened = len(seen)
        pattern = remote.pattern.isel(structure=3).values
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    raw = open_dataset(published).stored_pattern(3)
    assert np.array_equal(pattern, (raw * np.float64(2.0**-13)).astype(pattern.dtype))
    of_pattern = [(path, count) for path, count in seen[opened:] if path.startswith("/pattern/c/")]
    assert len(of_pattern) == len(seen) - opened <= 2, "the index of the shard, then the structure's chunk"
    whole = len(files_of(published)["pattern/c/1/0/0"])
    assert sum(count for _, count in of_pattern) < whole


def test_a_server_that_does_not_answer_is_said_in_words(
    s3: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    with pytest.raises(StoreError, match="check the address, the network and the credentials"):
        upload(published, f"{s3}/nowhere")


def test_missing_credentials_are_said_before_anything_is_asked(
    s3: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="credentials are missing"):
        upload(published, f"{s3}/x")


def test_without_obstore_it_is_said_what_is_missing(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(ConfigError, match="pip install obstore"):
        upload(published, "s3://bucket/x")
