"""The training loop of AlphaDiffract and CrystalNet, resumable from any checkpoint."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainer.data.store import Dataset, open_dataset
from trainer.errors import TrainerError
from trainer.training import budget, distributed
from trainer.training.budget import Clock, Now
from trainer.training.checkpoint import Progress
from trainer.training.config import Config, kind_of
from trainer.training.datasets import (
    agreed_shards,
    build_task,
    dataset_identity,
    group_hashes,
    open_split,
    probe,
)
from trainer.training.distributed import Place
from trainer.training.logs import Log
from trainer.training.meter import Meter
from trainer.training.state import BEST, LAST, State, begin, checkpoint_to_resume
from trainer.training.stopping import stop_on_signals
from trainer.training.tasks import Task

VALIDATION_SEED = 0x5EED
AGREE_EVERY_STEPS = 20


class Reporter(Protocol):
    """Receives the progress of a run."""

    def begin(self, model: str, structures: int, validation: int, batches: int, place: Place) -> None:
        """Handle the start of a run."""

    def advance(self, epoch: int, batch: int, batches: int, values: dict[str, float]) -> None:
        """Handle a trained batch; `values` is empty for most."""

    def epoch(self, epoch: int, values: dict[str, float], improved: bool) -> None:
        """Handle a validated epoch."""


@dataclass(frozen=True)
class Outcome:
    """Result of a run."""

    finished: bool
    progress: Progress
    values: dict[str, float]


def fit(
    config: Config,
    dataset_path: str | Path,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    reporter: Reporter | None = None,
    alone: bool = False,
    now: Now = time.monotonic,
) -> Outcome:
    """Train and validate, with `last.pt` and `best.pt` in `out`; SIGTERM and SIGINT save and stop.

    With `alone` the other processes of torchrun have no part in it.
    """
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    place = distributed.alone(device) if alone else distributed.start(device)
    try:
        return _fit(config, open_dataset(dataset_path), out, resume, place, reporter, now)
    finally:
        distributed.finish(place)


def _fit(
    config: Config, dataset: Dataset, out: Path, resume: bool, place: Place, reporter: Reporter | None, now: Now
) -> Outcome:
    before = checkpoint_to_resume(config, dataset, out) if resume else None
    if not resume and (out / LAST).exists():
        raise TrainerError(f"{out / LAST} exists; resume it with --resume or choose another --out")
    # An epoch is finished with the shards it started with; --follow adds new ones between epochs.
    keeps = before is not None and (before.progress.batch or not config.follow)
    shards = before.progress.shards if before and keeps else agreed_shards(dataset, place)
    task = build_task(config, dataset, place)
    train = open_split(config, dataset, "train", place, shards)
    validation = open_split(config, dataset, "validation", place, shards)
    for data in (train, validation):
        probe(data)
    state = begin(config, task, place, before, out / LAST)
    progress = state.progress
    model = _wrapped(state.module, config, place)
    train_groups = group_hashes(dataset, train.rows)

    def save(name: str) -> None:
        identity = dataset_identity(dataset) | {"train_groups": torch.from_numpy(np.unique(train_groups))}
        state.save(out / name, config, identity, place)

    values: dict[str, float] = {}
    no_score = ""
    with ExitStack() as stack:
        stopping = stack.enter_context(stop_on_signals())
        log = None
        if place.is_first:
            out.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(Log(out, progress.step))
        if reporter and place.is_first:
            sampler = train.loader.sampler
            reporter.begin(kind_of(config), len(train.rows), len(validation.rows), sampler.batches_per_epoch, place)
        progress.shards = shards
        if before is None:
            save(LAST)
        clock, saved_s = Clock(progress.seconds, now), progress.seconds

        while not budget.is_finished(config, progress):
            batches = train.loader.sampler.batches_per_epoch
            meter = Meter()
            model.train()
            read = train.loader.epoch(progress.epoch, progress.batch)
            for window in _windows(_on_device(read, place.device, meter), config.accumulate):
                rate = _train(state, task, model, window, config, batches, meter)
                progress.patterns += sum(map(len, window)) * place.world
                progress.batch += len(window)
                progress.step += 1

                numbers = {}
                if progress.step % config.log_every_steps == 0 or progress.batch >= batches:
                    numbers = meter.take(progress) | {"learning_rate": rate}
                    if log:
                        log.write(progress.step, progress.epoch + progress.batch / batches, numbers)
                if reporter and place.is_first:
                    reporter.advance(progress.epoch, progress.batch, batches, numbers)
                # Processes must stop at the same step; agreeing synchronises the device, so it is done rarely.
                may_stop = place.world == 1 or progress.step % AGREE_EVERY_STEPS == 0
                if may_stop:
                    progress.seconds = distributed.largest(clock.seconds(), place)
                if budget.share_used(config, progress) is not None and budget.is_finished(config, progress):
                    break  # validated and saved below
                if may_stop and distributed.agree(stopping(), place):
                    save(LAST)
                    return Outcome(False, progress, values)
                if budget.must_save(config, progress, saved_s, epoch_ended=False):
                    save(LAST)
                    saved_s = progress.seconds

            ended = progress.batch >= batches
            if ended:
                progress.epoch, progress.batch = progress.epoch + 1, 0
            finished = budget.is_finished(config, progress)
            if finished or (ended and progress.epoch % config.validate_every_epochs == 0):
                values, score = _validate(task, state.validated, validation.loader.epoch(0), place)
                improved = math.isfinite(score) and (progress.best is None or score > progress.best)
                if improved:
                    progress.best = score
                if log:
                    log.write(progress.step, progress.epoch + progress.batch / batches, values)
                if reporter and place.is_first:
                    reporter.epoch(progress.epoch, values, improved)
                if improved:
                    save(BEST)
                elif not math.isfinite(score):
                    no_score = f"after step {progress.step:,} is {score}"
            if ended and config.follow and not dataset.complete:
                dataset.refresh()
                progress.shards = agreed_shards(dataset, place)
                train = open_split(config, dataset, "train", place, progress.shards)
                validation = open_split(config, dataset, "validation", place, progress.shards)
                train_groups = group_hashes(dataset, train.rows)
            if finished or budget.must_save(config, progress, saved_s, epoch_ended=True):
                save(LAST)
                saved_s = progress.seconds
    if progress.best is None and no_score:
        raise TrainerError(
            f"{out}: no validation has a score that is a number: the last one {no_score}, from which no {BEST} can be "
            f"chosen ({_not_finite(values)}); begin again with a lower --learning-rate, or limit the gradient with "
            "--clip"
        )
    return Outcome(True, progress, values)


def _train(
    state: State, task: Task, model: nn.Module, window: list[Any], config: Config, batches: int, meter: Meter
) -> float:
    """Make one step of the optimiser on a window of batches; return its learning rate."""
    position = budget.schedule_epoch(config, state.progress, batches)
    rate = config.learning_rate * config.schedule.factor(position, config.epochs)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    for number, batch in enumerate(window):
        with _without_sync(model) if number < len(window) - 1 else nullcontext():
            loss = task.loss(model, batch, state.noise)
            (loss.total / len(window)).backward()  # type: ignore[no-untyped-call]
        meter.add(loss._asdict())
    if config.gradient_norm > 0:
        nn.utils.clip_grad_norm_(state.module.parameters(), config.gradient_norm)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    if state.average is not None:
        state.average.update(state.module, state.progress.step)
    return rate


def _not_finite(values: dict[str, float]) -> str:
    """Return the figures of a validation that are not numbers, by name."""
    found = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
    return ", ".join(found) or "all figures are finite"


def _wrapped(module: nn.Module, config: Config, place: Place) -> nn.Module:
    model = module
    if config.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    if place.world > 1:
        model = DistributedDataParallel(model, device_ids=[place.device] if place.device.type == "cuda" else None)
    return model


def _without_sync(model: nn.Module) -> AbstractContextManager[None]:
    """Synchronise gradients for the last batch of a window only."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


def _on_device(batches: Iterator[Any], device: torch.device, meter: Meter) -> Iterator[Any]:
    """Copy batches to the device and measure the time spent waiting for them."""
    while True:
        begun = time.perf_counter()
        batch = next(batches, None)
        meter.waited_s += time.perf_counter() - begun
        if batch is None:
            return
        yield batch.to(device)


def _windows(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    window: list[Any] = []
    for batch in batches:
        window.append(batch)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


@torch.no_grad()
def _validate(task: Task, module: nn.Module, batches: Iterator[Any], place: Place) -> tuple[dict[str, float], float]:
    """Validate with the same noise every time, without advancing the random state of training."""
    module.eval()
    generator = torch.Generator(place.device).manual_seed(VALIDATION_SEED + place.rank)
    sums = task.validate(module, batches, generator)
    return task.summarise(distributed.sum_over_processes(sums, place))
