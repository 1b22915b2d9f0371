"""How the store's files come into their places: on the disk before anything refers to them, or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catalogs.atomic_write import replacing
from datagen.errors import StoreError

SYNCS_AT_ONCE = 16
"""A disk asked to keep many files at once does so in one go; one after the other, each waits for its own."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a reader sees the old file or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """`write_bytes` for many files, in no order."""
    with ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
        for _ in pool.map(write_bytes, contents, contents.values()):
            pass


def to_json(content: Any) -> bytes:
    """The one way content becomes JSON here: stable, readable, no NaN."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def move_all(moves: Mapping[Path, Path]) -> None:
    """Rename finished files into their places: every content is on the disk before any name, every name at the end."""
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
    """Have the file's content on the disk before anything refers to it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the folder's entries on the disk; a file system that cannot do so for folders has nothing to wait for."""
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
    """Say of a full, read-only or forbidden disk what it means for the dataset and what to do."""
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
"""What to do about each error of the disk."""
