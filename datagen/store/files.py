"""Durable writes: a file is complete on disk before anything refers to it."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catalogs.atomic_write import replacing
from datagen.errors import StoreError

SYNCS_AT_ONCE = 16
"""Disks sync many files at once in the time of one."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader sees the old file or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write many files as `write_bytes` does, in no particular order."""
    with ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
        for _ in pool.map(write_bytes, contents, contents.values()):
            pass


def to_json(content: Any) -> bytes:
    """Return content as JSON: stable, readable, without NaN."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def from_json(text: str | bytes) -> Any:
    """Return what JSON holds; raise ValueError unless its numbers are finite, as those that `to_json` writes are."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} where a finite number was expected")
    return value


def move_all(moves: Mapping[Path, Path]) -> None:
    """Rename finished files: all contents are on disk before the first rename, all names at the end."""
    targets = list(moves.values())
    with ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
        for _ in pool.map(sync_file, moves):
            pass
        for source, target in moves.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        for _ in pool.map(sync_folder, dict.fromkeys(target.parent for target in targets)):
            pass


def sync_file(path: Path) -> None:
    """Wait until the file's content is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the folder's entries are on disk, if the file system can sync folders."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors_explained(path: Path) -> Iterator[None]:
    """Turn errors of a full, read-only or forbidden disk into a StoreError with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise StoreError(f"{path}: cannot write ({error.strerror}): {remedy}") from error


_AGAIN = "then re-run the same command; committed shards are kept"
REMEDIES = {
    errno.ENOTDIR: "expected a folder, found a file: choose another place with --out",
    errno.EEXIST: "expected a folder, found a file: choose another place with --out",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter one with --out",
    errno.ENOSPC: f"free disk space, {_AGAIN}",
    errno.EDQUOT: f"the quota is used up: free disk space, {_AGAIN}",
    errno.EROFS: f"the file system is read-only: choose another place with --out, or mount it writable, {_AGAIN}",
    errno.EACCES: f"permission is missing: grant it or choose another place with --out, {_AGAIN}",
    errno.EPERM: f"permission is missing: grant it or choose another place with --out, {_AGAIN}",
    errno.EIO: f"the disk reports an error: check it, {_AGAIN}",
    errno.ESTALE: f"the file server lost the folder: remount it, {_AGAIN}",
}
"""Remedy for each error of the disk."""
