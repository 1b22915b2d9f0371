"""Means of the losses, batches per second, and the share of time spent waiting for data."""

from __future__ import annotations

import math
import time

from torch import Tensor

from trainer.errors import TrainerError
from trainer.training.checkpoint import Progress


class Meter:
    """Accumulates losses without synchronising the device, and the time spent waiting for data."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.batches = 0
        self.waited_s = 0.0
        self.begun = time.perf_counter()

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the terms of one batch."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
        self.batches += 1

    def take(self, progress: Progress) -> dict[str, float]:
        """Return the means since the last call and reset; raise TrainerError for losses that are not finite."""
        values = {f"loss_{name}": float(total) / self.batches for name, total in self.sums.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise TrainerError(
                f"step {progress.step}: {', '.join(bad)} is not a finite number; start a new run with a "
                "smaller --learning-rate or --precision fp32"
            )
        elapsed = time.perf_counter() - self.begun
        values |= {"batches_per_second": self.batches / elapsed, "share_waiting_for_data": self.waited_s / elapsed}
        self._reset()
        return values
