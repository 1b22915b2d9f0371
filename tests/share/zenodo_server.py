"""A stand-in of Zenodo on loopback: the REST API of InvenioRDM for drafts, their files and published records."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

TOKEN = "zenodoTokenOfTheTests"
REQUIRED = ("title", "publication_date", "creators", "resource_type", "publisher")


@dataclass
class Record:
    """A draft or published record."""

    id: str
    parent: str
    metadata: dict[str, Any]
    doi: str | None = None
    published: bool = False
    files: dict[str, bytes | None] = field(default_factory=dict)
    """Content by name; None between the start of an upload and its content."""
    committed: set[str] = field(default_factory=set)

    def json(self) -> dict[str, Any]:
        """Return the record as the API does."""
        pids = {"doi": {"identifier": self.doi, "provider": "datacite"}} if self.doi else {}
        return {
            "id": self.id,
            "parent": {"id": self.parent},
            "metadata": self.metadata,
            "pids": pids,
            "access": {"record": "public", "files": "public"},
            "files": {"enabled": True},
            "is_published": self.published,
        }


@dataclass
class Zenodo:
    """State of the server, and faults to come."""

    url: str = ""
    records: dict[str, Record] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    """Names of the files whose content arrived whole."""
    ranges: bool = True
    quota_bytes: int = 50 * 10**9
    fault: Callable[[str, str], int | None] = lambda method, path: None
    """Status to answer a request with; 0 closes the connection in the middle of it; None serves it."""


@contextmanager
def zenodo_server() -> Iterator[Zenodo]:
    """Serve an empty Zenodo, with its address and a token in the environment."""
    state = Zenodo()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENODO_URL", state.url)
        patch.setenv("ZENODO_TOKEN", TOKEN)
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(state: Zenodo) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _serve(self) -> None:
            path = unquote(self.path)
            state.requests.append((self.command, path))
            length = int(self.headers.get("Content-Length") or 0)
            status = state.fault(self.command, path)
            if status == 0:
                self.rfile.read(length // 2)
                self.close_connection = True
                return
            body = self.rfile.read(length)
            state.bodies.append(path.encode() + body)
            if status is not None:
                self._json(status, {"status": status, "message": f"fault {status}"}, {"Retry-After": "1"})
                return
            is_read = self.command == "GET" and "/draft" not in path
            if not is_read and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._json(401, {"status": 401, "message": "The server could not verify that you are authorized."})
                return
            for method, pattern, answer in _ROUTES:
                found = re.fullmatch(pattern, path)
                if self.command == method and found is not None:
                    record = state.records.get(found[1]) if found.groups() else None
                    if found.groups() and record is None:
                        break
                    answer(self, record, body, *found.groups()[1:])
                    return
            self._json(404, {"status": 404, "message": "The persistent identifier does not exist."})

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def create(self, _: None, body: bytes) -> None:
            self._draft(json.loads(body)["metadata"], None)

        def version(self, record: Record, body: bytes) -> None:
            assert record.published
            open_draft = [r for r in state.records.values() if r.parent == record.parent and not r.published]
            if open_draft:
                self._json(201, open_draft[0].json())
                return
            left_out = ("version", "publication_date")
            self._draft({k: v for k, v in record.metadata.items() if k not in left_out}, record.parent)

        def _draft(self, metadata: dict[str, Any], parent: str | None) -> None:
            new = str(1000 + len(state.records))
            state.records[new] = Record(new, parent or new, metadata)
            self._json(201, state.records[new].json())

        def draft(self, record: Record, body: bytes) -> None:
            if record.published:
                self._json(404, {"status": 404, "message": "no draft"})
            else:
                self._json(200, record.json())

        def update(self, record: Record, body: bytes) -> None:
            content = json.loads(body)
            record.metadata = content["metadata"]
            if "pids" not in content:  # a draft's identifiers that are not sent back are discarded
                record.doi = None
            self._json(200, record.json())

        def doi(self, record: Record, body: bytes) -> None:
            record.doi = f"10.5281/zenodo.{record.id}"
            self._json(201, record.json())

        def files(self, record: Record, body: bytes) -> None:
            self._json(200, {"enabled": True, "entries": [self._entry(record, key) for key in record.files]})

        def start(self, record: Record, body: bytes) -> None:
            for each in json.loads(body):
                if each["key"] in record.files:
                    self._json(400, {"status": 400, "message": f"File with key {each['key']} already exists."})
                    return
                record.files[each["key"]] = None
            self._json(201, {"entries": []})

        def content(self, record: Record, body: bytes, key: str) -> None:
            if len(body) > state.quota_bytes:
                self._json(413, {"status": 413, "message": "Maximum file size exceeded."})
                return
            record.files[key] = body
            state.sent.append(key)
            self._json(200, self._entry(record, key))

        def commit(self, record: Record, body: bytes, key: str) -> None:
            record.committed.add(key)
            self._json(200, self._entry(record, key))

        def delete(self, record: Record, body: bytes, key: str) -> None:
            del record.files[key]
            record.committed.discard(key)
            self._send(204, b"", {})

        def publish(self, record: Record, body: bytes) -> None:
            missing = [name for name in REQUIRED if not record.metadata.get(name)]
            missing += [name for name in record.files if name not in record.committed]
            if missing or not record.files or record.doi is None:
                errors = [{"field": f"metadata.{name}", "messages": ["Missing data."]} for name in missing]
                self._json(400, {"status": 400, "message": "A validation error occurred.", "errors": errors})
                return
            record.published = True
            self._json(202, record.json())

        def read(self, record: Record, body: bytes, key: str) -> None:
            content = record.files.get(key)
            if content is None or not record.published:
                self._json(404, {"status": 404, "message": "no such file"})
                return
            first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if first is None or not state.ranges:
                self._send(200, content, {})
            elif int(first[1]) >= len(content):
                self._send(416, b"", {})
            else:
                begin = int(first[1])
                header = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
                self._send(206, content[begin:], header)

        def _entry(self, record: Record, key: str) -> dict[str, Any]:
            content = record.files[key]
            if content is None or key not in record.committed:
                return {"key": key, "status": "pending"}
            checksum = "md5:" + hashlib.md5(content).hexdigest()
            return {"key": key, "status": "completed", "size": len(content), "checksum": checksum}

        def _json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
            self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    draft = r"/api/records/(\w+)/draft"
    _ROUTES: list[tuple[str, str, Callable[..., None]]] = [
        ("POST", "/api/records", Handler.create),
        ("POST", r"/api/records/(\w+)/versions", Handler.version),
        ("GET", draft, Handler.draft),
        ("PUT", draft, Handler.update),
        ("POST", f"{draft}/pids/doi", Handler.doi),
        ("GET", f"{draft}/files", Handler.files),
        ("POST", f"{draft}/files", Handler.start),
        ("PUT", f"{draft}/files/([^/]+)/content", Handler.content),
        ("POST", f"{draft}/files/([^/]+)/commit", Handler.commit),
        ("DELETE", f"{draft}/files/([^/]+)", Handler.delete),
        ("POST", f"{draft}/actions/publish", Handler.publish),
        ("GET", r"/api/records/(\w+)/files", Handler.files),
        ("GET", r"/api/records/(\w+)/files/([^/]+)/content", Handler.read),
    ]
    return Handler
