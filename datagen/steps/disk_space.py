"""Checks that a dataset fits on the disk and in the quota of files."""

from __future__ import annotations

import shutil
from pathlib import Path

from datagen.errors import PlanError
from datagen.progress import size
from datagen.store.schema import Layout

ROOM_FACTOR = 1.2
"""A run is refused when the disk has less than this times what it needs: estimates are estimates."""
BYTES_PER_POINT = 0.3
"""Of a compressed pattern: 2.5 kB for 8192 points, as docs/store-format.md measures it."""


def check_disk_space(n_files: int, n_bytes: float, dataset: Path, max_files: int) -> None:
    """Raise PlanError if there are too many files for the quota, or more bytes than the disk has."""
    if n_files > max_files:
        raise PlanError(
            f"{dataset}: the dataset would have {n_files:,} files, store.max_files allows {max_files:,}; "
            "raise store.structures_per_shard for fewer files, or the limit"
        )
    place = dataset.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < n_bytes * ROOM_FACTOR:
        raise PlanError(
            f"{dataset}: the dataset needs about {size(n_bytes)}, {place} has {size(free)} free; "
            "free disk space, choose another place with --out, or take fewer patterns (simulation.augmentation.count)"
        )


def least_bytes(layout: Layout) -> float:
    """Return the bytes of the patterns alone."""
    return layout.n_structures * layout.n_augmentations * layout.n_points * BYTES_PER_POINT
