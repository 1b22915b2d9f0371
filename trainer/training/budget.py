"""Budgets of a run: epochs, or instead of them minutes or patterns; the schedule runs over whichever it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainer.training.checkpoint import Progress
from trainer.training.config import TrainConfig

Now = Callable[[], float]


class Clock:
    """Seconds of training over all resumed runs."""

    def __init__(self, before_s: float, now: Now = time.monotonic) -> None:
        self._now = now
        self._start_s = now() - before_s

    def seconds(self) -> float:
        """Return the seconds until now."""
        return self._now() - self._start_s


def share_used(config: TrainConfig, progress: Progress) -> float | None:
    """Return the share of the minutes or patterns that is used, whichever is larger; None for a budget of epochs."""
    shares = []
    if config.patterns is not None:
        shares.append(progress.patterns / config.patterns)
    if config.minutes is not None:
        shares.append(progress.seconds / (60.0 * config.minutes))
    return max(shares, default=None)


def is_finished(config: TrainConfig, progress: Progress) -> bool:
    """Return whether the budget is used up."""
    used = share_used(config, progress)
    return progress.epoch >= config.epochs if used is None else used >= 1.0


def schedule_epoch(config: TrainConfig, progress: Progress, batches: int) -> float:
    """Return the position in the schedule: minutes and patterns count as `epochs` epochs together."""
    used = share_used(config, progress)
    return progress.epoch + progress.batch / batches if used is None else min(used, 1.0) * config.epochs


def must_save(config: TrainConfig, progress: Progress, saved_s: float, *, epoch_ended: bool) -> bool:
    """Return whether to write `last.pt`: by the clock if `save_minutes` is set, else by steps and after epochs."""
    if config.save_minutes is not None:
        return progress.seconds - saved_s >= 60.0 * config.save_minutes
    return epoch_ended or progress.step % config.save_every_steps == 0
