"""Downloads of small files from addresses that others control, limited in size and time."""

from __future__ import annotations

import threading
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from datagen.errors import ConfigError
from datagen.progress import one_line
from datagen.store.remote import without_password

TIME_LIMIT_s = 30.0
"""Of the whole download; a server may send a byte a second for ever."""
THREAD = "download"
_STALL_s = 10.0


def download(url: str, max_bytes: int) -> bytes:
    """Return the content of an http(s) address."""
    shown = one_line(without_password(url), 500)
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{shown}: expected a path or an http(s) address")
    found: list[bytes | Exception] = []
    # A thread that can be abandoned: timeouts of sockets count from byte to byte, also within headers.
    thread = threading.Thread(target=_fetch, args=(url, max_bytes, found), name=THREAD, daemon=True)
    thread.start()
    thread.join(TIME_LIMIT_s)
    if not found:
        raise ConfigError(f"{shown}: cannot be read within {TIME_LIMIT_s:g} s; check the server, or copy the file")
    result = found[0]
    if isinstance(result, _ExcessError):
        raise ConfigError(f"{shown}: expected at most {max_bytes:,} bytes, found {result}")
    if isinstance(result, Exception):
        said = without_password(one_line(result, 200))
        raise ConfigError(f"{shown}: cannot be read ({said})") from result
    return result


class _ExcessError(Exception):
    """More bytes than the caller allows."""


def _fetch(url: str, max_bytes: int, found: list[bytes | Exception]) -> None:
    try:
        with urlopen(url, timeout=_STALL_s) as answer:  # noqa: S310 (the scheme was checked)
            found.append(_content(answer, max_bytes))
    except HTTPError as error:
        error.close()
        found.append(error)
    except (OSError, HTTPException, ValueError, _ExcessError) as error:
        found.append(error)


def _content(answer: HTTPResponse, max_bytes: int) -> bytes:
    stated = answer.headers.get("Content-Length", "")
    expected = int(stated) if stated.isdecimal() and len(stated) < 20 else None
    if expected is not None and expected > max_bytes:
        raise _ExcessError(f"{expected:,}")
    content = answer.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _ExcessError("more")
    if expected is not None and len(content) < expected:  # which a read with a limit does not report
        raise HTTPException(f"the connection ended early: found {len(content):,} of {expected:,} bytes")
    return content
