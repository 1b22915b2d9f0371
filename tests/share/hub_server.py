"""A stand-in of the Hugging Face Hub on loopback: the HTTP API that huggingface_hub speaks, and its file server.

Large files are stored by hash and served by another host ("localhost" instead of 127.0.0.1), as on the Hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

TOKEN = "hf_writeTokenOfTheTests"
_PAGE = 40


@dataclass
class Stored:
    """A file of a commit."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        """Return the hash by which the Hub knows the file."""
        if self.large:
            return hashlib.sha256(self.content).hexdigest()
        return git_hash(self.content)


def git_hash(content: bytes) -> str:
    """Return git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """A dataset repository: files by revision."""

    private: bool
    files: dict[str, Stored] = field(default_factory=lambda: {".gitattributes": Stored(b"*.parquet lfs\n", False)})
    tags: dict[str, dict[str, Stored]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def at(self, revision: str) -> dict[str, Stored] | None:
        """Return the files at a branch or tag."""
        return self.files if revision == "main" else self.tags.get(revision)


@dataclass
class Request:
    """A request as the server saw it."""

    method: str
    path: str
    host: str
    authorization: str | None


@dataclass
class Hub:
    """State of the server, and faults to come."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    """Hashes of the large files that were sent."""
    fault: Callable[[str, str], int | None] = lambda method, path: None
    """Status to answer a request with; 0 closes the connection; None serves it."""

    def asked(self, method: str, pattern: str) -> int:
        """Return the number of requests to paths that contain the pattern."""
        return sum(r.method == method and re.search(pattern, r.path) is not None for r in self.requests)


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a Hub without repositories, with its address and a token in the environment."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setenv("HF_HUB_DISABLE_XET", "1")
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.bodies.append(self.path.encode() + body)
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            key = self.headers.get("Authorization")
            hub.requests.append(Request(self.command, path, self.headers["Host"], key))
            status = hub.fault(self.command, path)
            if status == 0:
                self.close_connection = True
                return
            if status is not None:
                self._json(status, {"error": f"fault {status}"})
                return
            for method, pattern, answer in _ROUTES:
                found = re.fullmatch(pattern, path)
                if self.command in method and found is not None:
                    answer(self, body, parse_qs(parts.query), *found.groups())
                    return
            self._json(404, {"error": "no such route"})

        do_GET = do_HEAD = do_POST = do_PUT = _serve

        def allowed(self, name: str, *, write: bool = False) -> Repository | None:
            repository = hub.repositories.get(name)
            authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if repository is None or ((write or repository.private) and not authorized):
                status = 404 if authorized else 401
                self._json(status, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                return None
            return repository

        def whoami(self, body: bytes, query: dict[str, list[str]]) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._json(401, {"error": "Invalid user token."})
            else:
                self._json(200, {"type": "user", "name": "tester", "orgs": [], "auth": {}})

        def create(self, body: bytes, query: dict[str, list[str]]) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._json(401, {"error": "Invalid user token."})
                return
            asked = json.loads(body)
            assert asked["type"] == "dataset"
            name = f"{asked['organization']}/{asked['name']}"
            address = {"url": f"{hub.url}/datasets/{name}", "name": name}
            if name in hub.repositories:
                self._json(409, {**address, "error": "You already created this dataset repo"})
                return
            hub.repositories[name] = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
            self._json(200, address)

        def refs(self, body: bytes, query: dict[str, list[str]], name: str) -> None:
            if (repository := self.allowed(name)) is not None:
                tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": "0" * 40} for t in repository.tags]
                main = {"name": "main", "ref": "refs/heads/main", "targetCommit": "0" * 40}
                self._json(200, {"branches": [main], "tags": tags, "converts": []})

        def info(self, body: bytes, query: dict[str, list[str]], name: str, revision: str) -> None:
            if self.allowed(name) is not None:
                self._json(200, {"id": name, "sha": "0" * 40, "private": False, "tags": [], "downloads": 0})

        def tree(self, body: bytes, query: dict[str, list[str]], name: str, revision: str) -> None:
            repository = self.allowed(name)
            if repository is None:
                return
            files = sorted((repository.at(revision) or {}).items())
            first = int(query.get("cursor", ["0"])[0])
            listed = []
            for path, stored in files[first : first + _PAGE]:
                entry: dict[str, Any] = {"type": "file", "path": path, "size": len(stored.content)}
                entry["oid"] = git_hash(stored.content)
                if stored.large:
                    entry["lfs"] = {"oid": stored.oid, "size": len(stored.content), "pointerSize": 130}
                listed.append(entry)
            link = f"{hub.url}/api/datasets/{name}/tree/{revision}?recursive=true&cursor={first + _PAGE}"
            more = {"Link": f'<{link}>; rel="next"'} if first + _PAGE < len(files) else {}
            self._json(200, listed, more)

        def preupload(self, body: bytes, query: dict[str, list[str]], name: str, revision: str) -> None:
            repository = self.allowed(name, write=True)
            if repository is None:
                return
            answers = []
            for each in json.loads(body)["files"]:
                binary = b"\0" in base64.b64decode(each["sample"]) or each["path"].endswith(".parquet")
                stored = repository.files.get(each["path"])
                mode = "lfs" if binary else "regular"
                answer = {"path": each["path"], "uploadMode": mode, "shouldIgnore": False}
                answers.append(answer | ({"oid": stored.oid} if stored is not None else {}))
            self._json(200, {"files": answers})

        def batch(self, body: bytes, query: dict[str, list[str]], name: str) -> None:
            if self.allowed(name, write=True) is None:
                return
            asked = json.loads(body)
            assert (asked["operation"], asked["hash_algo"]) == ("upload", "sha256")
            objects = []
            for each in asked["objects"]:
                answer = {"oid": each["oid"], "size": each["size"]}
                if each["oid"] not in hub.objects:
                    href = f"{hub.url}/lfs-storage/{each['oid']}"
                    verify = {"href": f"{hub.url}/lfs-verify", "header": {}}
                    answer["actions"] = {"upload": {"href": href, "header": {}}, "verify": verify}
                objects.append(answer)
            self._json(200, {"transfer": "basic", "objects": objects})

        def put_object(self, body: bytes, query: dict[str, list[str]], oid: str) -> None:
            if hashlib.sha256(body).hexdigest() != oid:
                self._json(400, {"error": "checksum differs"})
                return
            hub.objects[oid] = body
            hub.uploaded.append(oid)
            self._send(200, b"", {})

        def verify(self, body: bytes, query: dict[str, list[str]]) -> None:
            asked = json.loads(body)
            good = len(hub.objects.get(asked["oid"], b"")) == asked["size"]
            self._json(200 if good else 404, {})

        def commit(self, body: bytes, query: dict[str, list[str]], name: str, revision: str) -> None:
            repository = self.allowed(name, write=True)
            if repository is None:
                return
            lines = [json.loads(line) for line in body.splitlines()]
            assert lines[0]["key"] == "header"
            files = dict(repository.files)
            for line in lines[1:]:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = Stored(base64.b64decode(value["content"]), large=False)
                elif line["key"] == "lfsFile":
                    if value["oid"] not in hub.objects:
                        self._json(400, {"error": f"{value['path']}: no such object"})
                        return
                    files[value["path"]] = Stored(hub.objects[value["oid"]], large=True)
                else:
                    assert line["key"] == "deletedFile"
                    del files[value["path"]]
            repository.files = files
            repository.messages.append(lines[0]["value"]["summary"])
            self._json(
                200, {"success": True, "commitOid": "1" * 40, "commitUrl": f"{hub.url}/datasets/{name}/commit/1"}
            )

        def tag(self, body: bytes, query: dict[str, list[str]], name: str, revision: str) -> None:
            repository = self.allowed(name, write=True)
            if repository is not None:
                repository.tags[json.loads(body)["tag"]] = dict(repository.files)
                self._send(200, b"", {})

        def validate(self, body: bytes, query: dict[str, list[str]]) -> None:
            yaml = pytest.importorskip("yaml")
            block = json.loads(body)["content"].split("---\n")[1]
            known = {"pretty_name", "license", "license_name", "tags", "size_categories", "configs"}
            errors = [{"message": f"unknown {key}"} for key in yaml.safe_load(block).keys() - known]
            self._json(400 if errors else 200, {"errors": errors, "warnings": []})

        def resolve(self, body: bytes, query: dict[str, list[str]], name: str, revision: str, path: str) -> None:
            repository = self.allowed(name)
            if repository is None:
                return
            stored = (repository.at(revision) or {}).get(path)
            if stored is None:
                self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            elif stored.large:
                cdn = hub.url.replace("127.0.0.1", "localhost")
                self._send(302, b"", {"Location": f"{cdn}/cdn/{stored.oid}", "ETag": f'"{stored.oid}"'})
            else:
                self._file(stored.content)

        def cdn(self, body: bytes, query: dict[str, list[str]], oid: str) -> None:
            self._file(hub.objects[oid])

        def _file(self, content: bytes) -> None:
            status, headers, part = 200, {"Accept-Ranges": "bytes"}, content
            if (asked := self.headers.get("Range")) is not None:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                begin = int(first) if first else max(len(content) - int(last), 0)
                part = content[begin : int(last) + 1 if first and last else None]
                headers["Content-Range"] = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
                status = 206
            self._send(status, part, headers)

        def _json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
            self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    repository = r"([^/]+/[^/]+)"
    _ROUTES: list[tuple[tuple[str, ...], str, Callable[..., None]]] = [
        (("GET",), "/api/whoami-v2", Handler.whoami),
        (("POST",), "/api/repos/create", Handler.create),
        (("POST",), "/api/validate-yaml", Handler.validate),
        (("GET",), f"/api/datasets/{repository}/refs", Handler.refs),
        (("GET",), f"/api/datasets/{repository}/revision/(.+)", Handler.info),
        (("GET",), f"/api/datasets/{repository}/tree/([^/]+)", Handler.tree),
        (("POST",), f"/api/datasets/{repository}/preupload/([^/]+)", Handler.preupload),
        (("POST",), f"/api/datasets/{repository}/commit/([^/]+)", Handler.commit),
        (("POST",), f"/api/datasets/{repository}/tag/([^/]+)", Handler.tag),
        (("POST",), f"/datasets/{repository}.git/info/lfs/objects/batch", Handler.batch),
        (("PUT",), "/lfs-storage/([0-9a-f]{64})", Handler.put_object),
        (("POST",), "/lfs-verify", Handler.verify),
        (("GET", "HEAD"), f"/datasets/{repository}/resolve/([^/]+)/(.+)", Handler.resolve),
        (("GET", "HEAD"), "/cdn/([0-9a-f]{64})", Handler.cdn),
    ]
    return Handler
