"""Number of cores that this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return the cores of this process, which a scheduler's allocation or a cpuset may limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
