"""Confinement: nothing outside a dataset's folder is read, written or deleted through names or links in it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from datagen.errors import StoreError

LONGEST_PART_bytes = 255
"""Of a file's or a folder's name in every common file system."""
MOST_PARTS = 16
"""Of a name: folders and file. No file of a dataset has half as many."""


def checked_name(name: str, dataset: object) -> str:
    """Return a file name below a dataset as it is; raise StoreError if it could lead out of it.

    Names come from ledgers and manifests, which may be from elsewhere.
    """
    parts = PurePosixPath(name).parts
    outward = not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or "://" in name
    if outward or not all(_can_be_named(part) for part in parts) or len(parts) > MOST_PARTS:
        raise StoreError(
            f"{dataset}: expected the name of a file inside the dataset, found {name[:200]!r}; do not use this dataset"
        )
    return name


def _can_be_named(part: str) -> bool:
    """Return whether a file system can have a file of this name."""
    try:
        return len(part.encode()) <= LONGEST_PART_bytes
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def path_inside(dataset: Path, name: str) -> Path:
    """Return the path of a file of the dataset; raise StoreError if its name or a link leads out of the folder."""
    parts = PurePosixPath(checked_name(name, dataset)).parts
    # Text, because every file of a dataset passes here: paths of objects take ten times as long.
    at, linked = str(dataset), False
    for part in parts:
        at = f"{at}/{part}"
        linked = linked or os.path.islink(at)  # noqa: PTH114
    if linked:
        _refuse_if_outside(dataset, Path(at))
    return Path(at)


def refuse_links_out(dataset: Path) -> None:
    """Raise StoreError if a link in the dataset leads out of it. Call before anything there is written or deleted."""
    folders = [str(dataset)] if dataset.is_dir() else []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    _refuse_if_outside(dataset, Path(entry.path))
                elif entry.is_dir():
                    folders.append(entry.path)


def _refuse_if_outside(dataset: Path, path: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(dataset.resolve()):
        raise StoreError(
            f"{path}: expected a file or folder of the dataset, found a link to {target}, outside of it; "
            "remove the link, or copy what it names into the dataset"
        )
