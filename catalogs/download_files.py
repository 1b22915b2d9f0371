"""Downloaded files on disk, and errors of writing them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from catalogs import atomic_write
from catalogs.errors import CatalogError


def save_download(path: Path, content: bytes) -> None:
    """Write a download atomically; its folder is made if there is none."""
    with _saving(path, "a download cannot be saved"):
        atomic_write.write_bytes(path, content)


def append_line(path: Path, line: str) -> None:
    """Append a line to a journal of downloads and make it durable."""
    with _saving(path, "a download cannot be recorded"):
        atomic_write.append_line(path, line)


def read_answer(answer: IO[bytes], limit_bytes: int) -> bytes:
    """Return an answer, or one byte more than the limit; raise OSError if it ends before its declared length.

    `HTTPResponse.read(n)` returns what there is, without an error.
    """
    raw = answer.read(limit_bytes + 1)
    missing = getattr(answer, "length", None)
    if missing and len(raw) <= limit_bytes:
        raise OSError(f"the answer breaks off after {len(raw)} bytes, {missing} are missing")
    return raw


@contextlib.contextmanager
def _saving(path: Path, what: str) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CatalogError(
            what,
            where=str(path),
            found=error.strerror or str(error),
            do="free disk space or choose another folder, and re-run the same command; saved downloads are kept",
        ) from error
