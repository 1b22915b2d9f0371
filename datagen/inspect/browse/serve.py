"""Server of one dataset and the page on loopback: GET and HEAD of files, in ranges, below a secret path."""

from __future__ import annotations

import logging
import re
import secrets
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from datagen.errors import DatagenError, StoreError
from datagen.inspect.browse.page import PAGE, page_bytes
from datagen.progress import one_line
from datagen.store.ledger import FOLDER as LEDGER
from datagen.store.location import Location, Where, is_url, location_of
from datagen.store.reading import read_metadata
from datagen.store.schema import variables

_LOG = logging.getLogger(__name__)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PIECE = 1 << 18
_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class BrowseServer(ThreadingHTTPServer):
    """Serves a dataset, and a second one beside it, to browsers on this machine.

    Other users of the machine can reach the port; without the secret part of the address they find nothing.
    """

    daemon_threads = True

    def __init__(self, dataset: Where, beside: Where | None = None, port: int = 0) -> None:
        self.datasets: dict[str, Served] = {}
        for place, where in enumerate(w for w in (dataset, beside) if w is not None):
            served = Served(where)
            self.datasets[f"{place}/{served.location.name}"] = served
        self.secret = secrets.token_urlsafe(16)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise StoreError(f"port {port} of 127.0.0.1 cannot be used ({error.strerror}); choose another") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a request fails with; browsers that close a connection are no error."""
        if not isinstance(error := sys.exception(), ConnectionError | TimeoutError):
            _LOG.warning("a request failed: %s", one_line(repr(error), 300))

    @property
    def url(self) -> str:
        """Address of the page."""
        first, *beside = (quote(name) for name in self.datasets)
        query = f"?beside=../../{beside[0]}/" if beside else ""
        return f"http://127.0.0.1:{self.server_address[1]}/{self.secret}/{first}/{query}"


class Served:
    """Files of a dataset that the page reads: metadata, receipts and arrays, not the table of structures."""

    def __init__(self, dataset: Where) -> None:
        self.location: Location = location_of(dataset)
        _, layout = read_metadata(dataset)
        self._folders = {LEDGER, *(variable.name for variable in variables(layout))}

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if there is none to serve."""
        if name != "zarr.json" and name.split("/")[0] not in self._folders:
            return None
        try:
            return self.location.size(name)
        except DatagenError:
            if is_url(str(self.location)):
                raise
            return None  # the name or a link leads out of the dataset


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    timeout = 60
    server: BrowseServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the terminal quiet."""

    def _answer(self, *, body: bool) -> None:
        secret, _, path = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        dataset = "/".join(path.split("/")[:2])
        served, name = self.server.datasets.get(dataset), path[len(dataset) + 1 :]
        if served is None or not secrets.compare_digest(secret.encode(), self.server.secret.encode()):
            self._head(HTTPStatus.NOT_FOUND, {})
        elif name in ("", PAGE):
            content = page_bytes()
            self._head(HTTPStatus.OK, {"Content-Type": "text/html; charset=utf-8"}, len(content))
            if body:
                self.wfile.write(content)
        else:
            self._file(served, name, body=body)

    def _file(self, served: Served, name: str, *, body: bool) -> None:
        try:
            size = served.size(name)
        except DatagenError as error:  # another server, which this one reads from
            _LOG.warning("%s", error)
            self._head(HTTPStatus.BAD_GATEWAY, {})
            return
        if size is None:
            self._head(HTTPStatus.NOT_FOUND, {})
            return
        part = _part(self.headers.get("Range"), size)
        if part is not None and part[0] >= part[1]:
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
            return
        first, stop = part or (0, size)
        stated = {"Content-Range": f"bytes {first}-{stop - 1}/{size}"} if part else {}
        self._head(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, stated, stop - first)
        if body:
            with served.location.open(name) as file:
                self._send(file, first, stop)

    def _send(self, file: IO[bytes], first: int, stop: int) -> None:
        file.seek(first)
        while first < stop and (data := file.read(min(_PIECE, stop - first))):
            self.wfile.write(data)
            first += len(data)
        if first < stop:
            self.close_connection = True  # the file became shorter: the browser sees an answer that ends early

    def _head(self, status: HTTPStatus, headers: Mapping[str, str], length: int = 0) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _part(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes that a Range header asks for, first and stop; None for the whole file.

    A header of several ranges may be ignored.
    """
    asked = _RANGE.fullmatch(header or "")
    if asked is None or asked[0] == "bytes=-":
        return None
    first, last = asked[1], asked[2]
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size
