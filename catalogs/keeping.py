"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from catalogs.errors import CatalogError


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, make it durable, rename into place: a crash leaves the old state."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".unfinished-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CatalogError(
            "a download cannot be kept",
            where=str(path),
            found=error.strerror or str(error),
            do="make room or choose another folder, and run again; what was kept stays",
        ) from error


def _umask() -> int:
    """The process's umask, which can only be read by setting it; mkstemp's own mode shuts out the group."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def append_line(path: Path, line: str) -> None:
    """Add one line and make it durable; a crash may leave half of it, which readers pass over."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            if stream.tell() and not _ends_with_newline(path):
                stream.write(b"\n")
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise CatalogError(
            "a download cannot be noted",
            where=str(path),
            found=error.strerror or str(error),
            do="make room and run again; what was kept stays",
        ) from error


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
