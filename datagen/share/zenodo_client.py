"""Requests to Zenodo or another InvenioRDM server: drafts of records, their files, and published records.

The API is https://inveniordm.docs.cern.ch/reference/rest_api_drafts_records/.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from datagen.errors import ConfigError, StoreError
from datagen.progress import one_line

SERVER, SERVER_VARIABLE, TOKEN_VARIABLE = "https://zenodo.org", "ZENODO_URL", "ZENODO_TOKEN"
ATTEMPTS = 4
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_NOT_BEGUN = (429, 503)
"""Answers after which a request that makes something is repeated too."""
_LONGEST_WAIT_s = 120.0
_SILENCE_s = 120.0
_MAX_ANSWER_BYTES = 50_000_000
_ADVICE = {
    401: f"set {TOKEN_VARIABLE} to a valid token of this server",
    403: f"set {TOKEN_VARIABLE} to a token of the record's owner with deposit:write and deposit:actions",
    413: "the server's limits are lower than expected; ask it for a larger quota, or publish to an object store",
}


class RecordNotFoundError(StoreError):
    """The server has no such record or draft."""


class Client:
    """The requests that a deposit needs; transient failures are repeated."""

    def __init__(self, *, needs_token: bool = True, sleep: Callable[[float], None] = time.sleep) -> None:
        self.server = os.environ.get(SERVER_VARIABLE, "").rstrip("/") or SERVER
        if not self.server.startswith(("https://", "http://")):
            raise ConfigError(f"{SERVER_VARIABLE}: expected an http(s) URL, found {one_line(self.server, 200)}")
        self._token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if needs_token and not self._token:
            raise ConfigError(f"{self.server}: a token is missing; set {TOKEN_VARIABLE} to one with deposit:write")
        self._sleep = sleep

    def new_draft(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Make a draft of a new record."""
        access = {"record": "public", "files": "public"}
        return self._json("POST", "/api/records", {"access": access, "files": {"enabled": True}, "metadata": metadata})

    def new_version(self, record: str) -> dict[str, Any]:
        """Return the draft of the next version of a published record; it has no files."""
        return self._json("POST", f"/api/records/{record}/versions")

    def draft(self, draft: str) -> dict[str, Any]:
        """Return a draft."""
        return self._json("GET", f"/api/records/{draft}/draft")

    def update(self, draft: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
        """Replace the metadata of a draft."""
        kept: dict[str, Any] = {name: draft[name] for name in ("access", "files", "pids") if name in draft}
        return self._json("PUT", f"/api/records/{draft['id']}/draft", {**kept, "metadata": metadata})

    def reserve_doi(self, draft: dict[str, Any]) -> str:
        """Return the DOI of a draft; reserved if it has none."""
        doi = draft.get("pids", {}).get("doi", {}).get("identifier")
        if not doi:
            draft = self._json("POST", f"/api/records/{draft['id']}/draft/pids/doi")
            doi = draft.get("pids", {}).get("doi", {}).get("identifier")
        if not isinstance(doi, str) or not doi.startswith("10."):
            raise StoreError(f"{self.server}: expected a reserved DOI, found {one_line(doi, 100)}")
        return doi

    def files(self, draft: str) -> dict[str, dict[str, Any]]:
        """Return the files of a draft by name."""
        entries = self._json("GET", f"/api/records/{draft}/draft/files").get("entries", [])
        return {entry["key"]: entry for entry in entries}

    def upload(self, draft: str, name: str, path: Path) -> dict[str, Any]:
        """Send a file, and return the server's entry with its checksum."""
        files = f"/api/records/{draft}/draft/files"
        self._json("POST", files, [{"key": name}])
        self._json("PUT", f"{files}/{quote(name)}/content", path)
        return self._json("POST", f"{files}/{quote(name)}/commit")

    def delete(self, draft: str, name: str) -> None:
        """Delete a file of a draft."""
        self._json("DELETE", f"/api/records/{draft}/draft/files/{quote(name)}")

    def publish(self, draft: str) -> dict[str, Any]:
        """Publish a draft, which cannot be undone."""
        return self._json("POST", f"/api/records/{draft}/draft/actions/publish")

    def record_files(self, record: str) -> list[dict[str, Any]]:
        """Return the files of a published record: `key`, `size`, `checksum` and `links.content`."""
        entries = self._json("GET", f"/api/records/{record}/files").get("entries", [])
        return list(entries)

    def open_content(self, record: str, name: str, first: int) -> IO[bytes]:
        """Open a file of a published record from a byte on; the answer's status is 206 if the server does so."""
        headers = {"Range": f"bytes={first}-"} if first else {}
        path = f"/api/records/{record}/files/{quote(name)}/content"
        answer: IO[bytes] = urlopen(self._request("GET", path, None, headers), timeout=_SILENCE_s)  # noqa: S310
        return answer

    def _json(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        trouble, wait_s = "", 0.0
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(max(wait_s, 2.0 ** (attempt - 1)))
            try:
                return self._once(method, path, content)
            except HTTPError as error:
                with error:
                    trouble = f"{error.code}: {_said(error)}"
                if error.code == 404:
                    raise RecordNotFoundError(f"{self.server}{path}: not found") from None
                if error.code not in (_NOT_BEGUN if method == "POST" else _TRANSIENT):
                    advice = _ADVICE.get(error.code, "correct what it states, and re-run the same command to resume")
                    raise StoreError(f"{self.server}{path}: the server answered {trouble}; {advice}") from None
                wait_s = _patience(error)
            except (OSError, HTTPException) as error:
                trouble = one_line(str(error) or type(error).__name__, 200)
                if method == "POST":  # it may have been done
                    break
        raise StoreError(f"{self.server}{path}: no answer ({trouble}); re-run the same command to resume")

    def _once(self, method: str, path: str, content: object) -> dict[str, Any]:
        if isinstance(content, Path):
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(content.stat().st_size)}
            with content.open("rb") as file:
                return self._answer(self._request(method, path, file, headers))
        data = None if content is None else json.dumps(content).encode()
        return self._answer(self._request(method, path, data, {"Content-Type": "application/json"}))

    def _answer(self, request: Request) -> dict[str, Any]:
        with urlopen(request, timeout=_SILENCE_s) as answer:  # noqa: S310 (http(s), as checked above)
            text = answer.read(_MAX_ANSWER_BYTES)
        try:
            found = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            raise StoreError(f"{request.full_url}: expected JSON, found {one_line(text[:80])}; check the URL") from None
        return found if isinstance(found, dict) else {"entries": found}

    def _request(self, method: str, path: str, data: Any, headers: dict[str, str]) -> Request:
        headers = {"User-Agent": "pxrd-datagen", "Accept": "application/json", **headers}
        if method == "GET" and path.endswith("/content"):
            headers["Accept"] = "*/*"
        request = Request(f"{self.server}{path}", data=data, headers=headers, method=method)  # noqa: S310
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return request


def _patience(error: HTTPError) -> float:
    stated = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(stated), _LONGEST_WAIT_s) if stated.strip().isdigit() else 0.0


def _said(error: HTTPError) -> str:
    """Return the explanation of an InvenioRDM error: its message and the fields that it refuses."""
    try:
        content = json.loads(error.read(100_000))
        fields = [f"{each['field']}: {' '.join(each['messages'])}" for each in content.get("errors", [])]
        return one_line("; ".join([str(content.get("message", error.reason)), *fields]), 300)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, HTTPException):
        return one_line(error.reason, 100)
