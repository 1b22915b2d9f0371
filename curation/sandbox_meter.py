"""Time and memory of an item in a sandbox's child process."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

TICK_s = 0.05
"""Interval at which time and memory of an item are measured."""
PAGE_bytes = os.sysconf("SC_PAGE_SIZE")
CLOCK_Hz = os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int | None = None) -> float:
    """Return the memory that a process takes now; of this one, its peak where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0 if pid is None else 0.0
    return float(pages * PAGE_bytes)


class ItemMeter:
    """Time and memory of an item, from /proc if available."""

    def __init__(self, pid: int, ignored_bytes: int = 0) -> None:
        self._pid = pid
        self._ignored_bytes = ignored_bytes
        self._seen_s = time.monotonic()
        self._cpu_s = self._cpu()[0]
        self.charged_s = 0.0
        self.memory_bytes = self._memory()

    def due(self) -> bool:
        """Return whether the last measurement is `TICK_s` old."""
        return time.monotonic() - self._seen_s >= TICK_s

    def update(self) -> None:
        """Measure time and memory."""
        now = time.monotonic()
        # A suspended machine or a stopped parent counts for one second at most.
        elapsed, self._seen_s = min(now - self._seen_s, 1.0), now
        cpu_s, running = self._cpu()
        used, self._cpu_s = cpu_s - self._cpu_s, cpu_s
        self.charged_s += min(max(used, 0.0), elapsed) if running else elapsed
        self.memory_bytes = max(self.memory_bytes, self._memory())

    def _cpu(self) -> tuple[float, bool]:
        """Return the CPU time in seconds, and whether the process is runnable."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0, False
        return (int(fields[11]) + int(fields[12])) / CLOCK_Hz, fields[0] == "R"

    def _memory(self) -> int:
        try:
            fields = Path(f"/proc/{self._pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * PAGE_bytes - self._ignored_bytes
