"""Requests to an OPTIMADE server: paced, retried, limited in size, with the server's own words in errors."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from catalogs.config import OptimadeCatalog
from catalogs.download_files import read_answer
from catalogs.errors import CatalogError

Opener = Callable[[str], IO[bytes]]
"""Opens an address for reading; raises HTTPError or OSError."""

LARGEST_ANSWER_BYTES = 500_000_000
LONGEST_WAIT_s = 3600.0
"""A server that asks for more patience is an error."""
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_SAID = 500


def open_address(url: str) -> IO[bytes]:
    """Open an address; the timeout limits silence, not the whole answer."""
    headers = {"User-Agent": "pxrd-datagen", "Accept": "application/json"}
    answer: IO[bytes] = urlopen(Request(url, headers=headers), timeout=60)  # noqa: S310 - http(s) by configuration
    return answer


class Client:
    """The requests that the catalog needs."""

    def __init__(self, config: OptimadeCatalog, opener: Opener, sleep: Callable[[float], None]) -> None:
        self._config = config
        self._opener = opener
        self._sleep = sleep
        self._is_first = True

    def read(self, address: str) -> dict[str, Any]:
        """Return an answer."""
        return self._read(address)[0]

    def read_page(self, address: str) -> tuple[dict[str, Any], bytes]:
        """Return a page of entries, and its bytes."""
        content, raw = self._read(address)
        if not isinstance(content.get("data"), list):
            raise self._error("the answer is no page of structures", address, raw[:_SAID].decode("utf-8", "replace"))
        return content, raw

    def _read(self, address: str) -> tuple[dict[str, Any], bytes]:
        if not address.startswith(("https://", "http://")):
            raise self._error("the server names an address that is not read", address, "neither http nor https")
        trouble, wait_s = "", 0.0
        for attempt in range(self._config.retries + 1):
            if not self._is_first:
                self._sleep(max(wait_s, self._config.pause_s if attempt == 0 else 2.0 ** (attempt - 1)))
            self._is_first, wait_s = False, 0.0
            try:
                with self._opener(address) as answer:
                    raw = read_answer(answer, LARGEST_ANSWER_BYTES)
            except HTTPError as error:
                trouble = f"{error.code} {error.reason}{_said(error)}"
                if error.code not in _TRANSIENT:
                    raise self._error("the server refuses the request", address, trouble) from error
                wait_s = self._patience(error, address)
                continue
            except (URLError, HTTPException, OSError) as error:  # an answer that ends too early among them
                trouble = str(error) or type(error).__name__
                continue
            if len(raw) > LARGEST_ANSWER_BYTES:
                raise self._error("the answer is too large", address, f"over {LARGEST_ANSWER_BYTES:,} bytes")
            try:
                content = json.loads(raw)
            except (ValueError, RecursionError) as error:
                trouble = f"not JSON ({error}): {raw[:80]!r}"
                continue
            if isinstance(content, dict):
                return content, raw
            trouble = f"no JSON object: {raw[:80]!r}"
        raise CatalogError(
            f"no usable answer after {self._config.retries + 1} attempts",
            where=f"catalog {self._config.name!r}, {address}",
            found=trouble,
            do="check url and network and run again; complete pages are kept",
        )

    def _patience(self, error: HTTPError, address: str) -> float:
        """Return the seconds that the server asks to wait: a number, or a date."""
        stated = error.headers.get("Retry-After") if error.headers else None
        if stated is None:
            return 0.0
        if stated.strip().isdecimal():
            seconds = float(stated)
        else:
            try:
                seconds = email.utils.parsedate_to_datetime(stated).timestamp() - time.time()
            except ValueError:
                return 0.0
        if seconds > LONGEST_WAIT_s:
            raise self._error("the server asks to wait too long", address, f"Retry-After: {stated}")
        return max(seconds, 0.0)

    def _error(self, what: str, address: str, found: str) -> CatalogError:
        return CatalogError(
            what,
            where=f"catalog {self._config.name!r}, {address}",
            found=found,
            do="correct url and filter, or report it to the provider; complete pages are kept",
        )


def _said(error: HTTPError) -> str:
    """Return the explanation of an OPTIMADE error, if the answer has one."""
    try:
        errors = json.loads(error.read(100_000)).get("errors") or []
        texts = [str(one.get("detail") or one.get("title") or "") for one in errors if isinstance(one, dict)]
    except (OSError, ValueError, AttributeError, RecursionError, HTTPException):
        return ""
    return f": {'; '.join(texts)[:_SAID]}" if any(texts) else ""
