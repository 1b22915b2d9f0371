"""Files of a dataset's next version: shared shards before it is made, the move to their places when it is verified.

The next version is a dataset in the run's folder. Its finished shards are hard links to the files of the present one,
which cost no space. The move can be interrupted anywhere and is completed by the next call.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from datagen.config.job import WORK
from datagen.errors import StoreError
from datagen.store import files, ledger

NEXT = "next"
"""Folder, in the run's folder, of the next version."""
NEW = "new"
"""Folder, in the run's folder of the next version, of the new records' curation."""
READY = "ready"
"""Mark, in it, of a next version that is complete and verified: it only remains to be moved."""
_FRAME = (f"{ledger.FOLDER}/{ledger.FRAME}", "curation.parquet", "report.html")
"""Moved after the metadata of the group, which decides what readers see."""


def next_version(dataset: Path) -> Path:
    """Return the folder of the dataset's next version."""
    return dataset / WORK / NEXT / dataset.name


def is_ready(dataset: Path) -> bool:
    """Return whether a finished next version waits for the rest of its move."""
    return (dataset / WORK / NEXT / READY).exists()


def mark_ready(dataset: Path) -> None:
    """Mark the next version as complete and verified; from now on it only remains to be moved."""
    files.write_bytes(dataset / WORK / NEXT / READY, b"")


def discard_next(dataset: Path) -> None:
    """Delete an unfinished next version."""
    shutil.rmtree(dataset / WORK / NEXT, ignore_errors=True)


def share_shards(dataset: Path, shards: range) -> None:
    """Give the next version the files and receipts of these shards, unless it has them."""
    target = next_version(dataset)
    for shard in shards:
        receipt = ledger.read(dataset, shard)
        if receipt is None:
            raise StoreError(f"{dataset}: shard {shard} has no receipt; repair it with datagen run, without --extend")
        if ledger.shard_path(target, shard).exists():
            continue
        for name in receipt.files:
            _link(dataset / name, target / name)
        ledger.commit(target, receipt)


def move_next(dataset: Path) -> None:
    """Move the files of the finished next version to their places, and delete its folder.

    Shards and labels come first: what readers of the present version see of them does not change. The metadata of
    the group comes after them and makes the new rows visible at once.
    """
    source = next_version(dataset)
    shutil.rmtree(source / WORK / NEW, ignore_errors=True)  # after the mark: without either, curation would begin again
    found = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else []
    moves: dict[Path, Path] = {}
    for path in sorted(found, key=lambda path: _turn(path.relative_to(source).as_posix())):
        target = dataset / path.relative_to(source)
        if not (target.exists() and path.samefile(target)):
            moves[path] = target
    files.move_all(moves)
    shutil.rmtree(source, ignore_errors=True)  # before the mark: without it an unfinished next version would be seen
    discard_next(dataset)


def _turn(name: str) -> int:
    """Return the place of a file in the order of moves."""
    if name.startswith(f"{WORK}/"):
        return 4
    if name in _FRAME:
        return 3
    if name == "zarr.json":
        return 2
    return 1 if name.endswith("zarr.json") else 0


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, target)
