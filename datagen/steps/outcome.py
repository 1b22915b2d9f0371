"""Counts, sizes and times of a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from catalogs.selection import Excluded


@dataclass
class Outcome:
    """Counts, sizes and times of a run."""

    dataset: Path
    counts: Counter[str] = field(default_factory=Counter)
    """Records accepted, and refused by reason."""
    excluded: Excluded = field(default_factory=Excluded)
    """Records that the catalogs' conditions left out."""
    n_structures: int = 0
    n_duplicates: int = 0
    n_patterns: int = 0
    n_densities: int = 0
    bytes: int = 0
    seconds: float = 0.0
    n_structures_now: int = 0
    """Structures that the last call simulated."""
    n_patterns_now: int = 0
    """Patterns that this call made itself."""
    stage_seconds: Counter[str] = field(default_factory=Counter)
    """Worker seconds of this call, by stage."""
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    """Source id and reason of each."""
    peak_worker_memory_MB: float = 0.0
    phase_seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of this call by phase; starting workers is a phase of its own."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Time a phase of the run."""
        began = time.monotonic()
        yield
        self.phase_seconds[phase] = time.monotonic() - began
