"""Servers on loopback: a web server that counts requests, a hostile web server and an S3 server."""

from __future__ import annotations

import gc
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datagen.share.download import THREAD


@dataclass
class WebServer:
    """Folder that is served, and what was read from it."""

    folder: Path
    ranges: bool = True
    """Whether range requests are supported."""
    gone_after: int | None = None
    """Number of requests that are answered before every further one is an error."""
    url: str = ""
    seen: list[tuple[str, int]] = field(default_factory=list)
    """(path, bytes sent) of every answered GET."""
    asked: int = 0

    def forget(self) -> None:
        """Reset the counts."""
        self.seen.clear()
        self.asked = 0

    @property
    def bytes(self) -> int:
        """Return the number of bytes sent."""
        return sum(count for _, count in self.seen)


@contextmanager
def web_server(folder: Path, *, ranges: bool = True) -> Iterator[WebServer]:
    """Serve a folder until the block ends."""
    state = WebServer(folder, ranges)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, or every answer waits for an acknowledgement

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            state.asked += 1
            path = state.folder / self.path.partition("?")[0].lstrip("/")
            if state.gone_after is not None and state.asked > state.gone_after:
                self._send(503, b"", {})
            elif not path.is_file():
                self._send(404, b"", {})
            else:
                self._send_file(path, body)

        def _send_file(self, path: Path, body: bool) -> None:
            size = path.stat().st_size
            begin, stop = 0, size
            status, headers = 200, {"Last-Modified": "Tue, 01 Jan 1980 00:00:00 GMT"}
            asked = self.headers.get("Range")
            if asked is not None and state.ranges:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                begin = int(first) if first else max(size - int(last), 0)
                stop = min(int(last) + 1, size) if first and last else size
                headers["Content-Range"] = f"bytes {begin}-{stop - 1}/{size}"
                status = 206
            with path.open("rb") as file:
                file.seek(begin)
                data = file.read(stop - begin)
            if body:
                state.seen.append((self.path, len(data)))
            self._send(status, data, headers, body=body)

        def _send(self, status: int, data: bytes, headers: dict[str, str], *, body: bool = True) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def hostile_server() -> Iterator[str]:
    """A web server whose answers never end.

    The first part of an address chooses how: `endless` data, a byte at a time (`drip`), within the `headers`, a
    `declared` length of 10^13 bytes, or `cut` off before the end of a declared length.
    """
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = self.path.split("/")[1]
            try:
                if kind == "headers":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    self._repeat(b"X", 0.05)
                self.send_response(200)
                if kind in ("declared", "cut"):
                    self.send_header("Content-Length", str(10**13 if kind == "declared" else 1000))
                self.send_header("Last-Modified", "Tue, 01 Jan 1980 00:00:00 GMT")
                self.end_headers()
                if self.command == "GET" and kind == "cut":
                    self.wfile.write(b"#" * 10)
                elif self.command == "GET":
                    self._repeat(*((b"#" * 1_000_000, 0.0) if kind == "endless" else (b"#", 0.05)))
            except OSError:
                pass

        do_HEAD = do_GET

        def _repeat(self, data: bytes, pause_s: float) -> None:
            while not ended.is_set():
                self.wfile.write(data)
                time.sleep(pause_s)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
        for abandoned in [each for each in threading.enumerate() if each.name == THREAD]:
            abandoned.join()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # urllib leaves the socket of a broken answer open
            gc.collect()


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server with one bucket, with its address and credentials in the environment."""
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/bucket", method="PUT")).close()
        yield "s3://bucket"
    server.stop()
