"""Schedules of the learning rate: a factor of its nominal value as a function of epochs.

A run with a budget of minutes or patterns counts it as its number of epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Cyclic:
    """AlphaDiffract's schedule: a triangle from `floor` to 1 and back, its height multiplied by `decay` each cycle."""

    half_cycle_epochs: float = 6.0
    floor: float = 0.1
    decay: float = 0.5

    def factor(self, epoch: float, epochs: float) -> float:
        """Return floor + (1 - floor) decay^cycle (1 - |1 - phase|), phase 0..2 within a cycle."""
        cycle, phase = divmod(epoch / self.half_cycle_epochs, 2.0)
        height: float = self.decay**cycle
        return self.floor + (1.0 - self.floor) * height * (1.0 - abs(1.0 - phase))


@dataclass(frozen=True)
class WarmRestarts:
    """CrystalNet's schedule: a cosine from 1 to `floor`, restarted, each cycle `growth` times as long as the last."""

    first_cycle_epochs: float = 100.0
    floor: float = 1e-3
    growth: float = 2.0

    def factor(self, epoch: float, epochs: float) -> float:
        """Return floor + (1 - floor) (1 + cos(pi t / T)) / 2, t within the cycle of length T."""
        start, length = 0.0, self.first_cycle_epochs
        while epoch >= start + length:
            start, length = start + length, length * self.growth
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * (epoch - start) / length))


@dataclass(frozen=True)
class Constant:
    """A constant learning rate."""

    def factor(self, epoch: float, epochs: float) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """A linear rise over the share `warm_up` of the run, then half a cosine down to `floor` at its end."""

    warm_up: float = 0.02
    floor: float = 0.01

    def factor(self, epoch: float, epochs: float) -> float:
        """Return t / warm_up in the rise, then floor + (1 - floor) (1 + cos(pi u)) / 2, u the share of the rest."""
        done = min(epoch / epochs, 1.0)
        if done < self.warm_up:
            return max(done / self.warm_up, self.floor)
        left = (done - self.warm_up) / max(1.0 - self.warm_up, 1e-9)
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * left))


Schedule = Cyclic | WarmRestarts | Constant | Cosine
