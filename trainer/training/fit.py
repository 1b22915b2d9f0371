"""The training loop of AlphaDiffract and CrystalNet, resumable from any checkpoint."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.data.store import Dataset, open_dataset
from trainer.errors import TrainerError
from trainer.training import checkpoint as checkpoints
from trainer.training import distributed
from trainer.training.checkpoint import Checkpoint, Progress
from trainer.training.config import AlphaDiffractTraining, Config, kind_of
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
from trainer.training.tasks import Task

LAST, BEST = "last.pt", "best.pt"
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
) -> Outcome:
    """Train and validate, with `last.pt` and `best.pt` in `out`; SIGTERM and SIGINT save and stop."""
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    place = distributed.start(device)
    try:
        return _fit(config, open_dataset(dataset_path), out, resume, place, reporter)
    finally:
        distributed.finish(place)


def _fit(config: Config, dataset: Dataset, out: Path, resume: bool, place: Place, reporter: Reporter | None) -> Outcome:
    before = _checkpoint_to_resume(config, dataset, out) if resume else None
    if not resume and (out / LAST).exists():
        raise TrainerError(f"{out / LAST} exists; resume it with --resume or choose another --out")
    progress = before.progress if before else Progress()
    # An epoch is finished with the shards it started with; --follow adds new ones between epochs.
    keeps = before is not None and (progress.batch or not config.follow)
    shards = progress.shards if keeps else agreed_shards(dataset, place)
    task = build_task(config, dataset, place)
    train = open_split(config, dataset, "train", place, shards)
    validation = open_split(config, dataset, "validation", place, shards)
    for data in (train, validation):
        probe(data)

    torch.manual_seed(config.seed)  # the same weights in all processes
    module = task.build()
    torch.manual_seed(config.seed + place.rank)  # different dropped paths
    optimiser = build_optimiser(module, config)
    noise = torch.Generator(place.device).manual_seed(config.seed + place.rank)
    if before:
        try:
            module.load_state_dict(before.model)
            optimiser.load_state_dict(before.optimiser)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainerError(
                f"{out / LAST}: its weights or optimiser do not fit its configuration "
                f"({(str(error).splitlines() or [''])[0]:.200})"
            ) from error
        _restore_generators(before.generators, noise, place)
    model = _wrapped(module, config, place)

    train_groups = group_hashes(dataset, train.rows)

    def save(name: str) -> None:
        states = distributed.gather(_generator_states(noise, place), place)
        if place.is_first:
            identity = dataset_identity(dataset) | {"train_groups": torch.from_numpy(np.unique(train_groups))}
            state = Checkpoint(config, progress, module.state_dict(), optimiser.state_dict(), states, identity)
            checkpoints.save(out / name, state)

    values: dict[str, float] = {}
    with ExitStack() as stack:
        stopping = stack.enter_context(_stop_on_signals())
        log = None
        if place.is_first:
            out.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(Log(out, progress.step))
        if reporter and place.is_first:
            sampler = train.loader.sampler
            reporter.begin(kind_of(config), len(train.rows), len(validation.rows), sampler.batches_per_epoch, place)
        if before is None:
            progress.shards = shards
            save(LAST)

        while progress.epoch < config.epochs:
            batches = train.loader.sampler.batches_per_epoch
            meter = Meter()
            model.train()
            read = train.loader.epoch(progress.epoch, progress.batch)
            for window in _windows(_on_device(read, place.device, meter), config.accumulate):
                factor = config.schedule.factor(progress.epoch + progress.batch / batches)
                for group in optimiser.param_groups:
                    group["lr"] = config.learning_rate * factor
                for number, batch in enumerate(window):
                    with _without_sync(model) if number < len(window) - 1 else nullcontext():
                        loss = task.loss(model, batch, noise)
                        (loss.total / len(window)).backward()  # type: ignore[no-untyped-call]
                    meter.add(loss._asdict())
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                progress.batch += len(window)
                progress.step += 1

                numbers = {}
                if progress.step % config.log_every_steps == 0 or progress.batch >= batches:
                    numbers = meter.take(progress) | {"learning_rate": config.learning_rate * factor}
                    if log:
                        log.write(progress.step, progress.epoch + progress.batch / batches, numbers)
                if reporter and place.is_first:
                    reporter.advance(progress.epoch, progress.batch, batches, numbers)
                # Processes must stop at the same step; agreeing synchronises the device, so it is done rarely.
                may_stop = place.world == 1 or progress.step % AGREE_EVERY_STEPS == 0
                if may_stop and distributed.agree(stopping(), place):
                    save(LAST)
                    return Outcome(False, progress, values)
                if progress.step % config.save_every_steps == 0:
                    save(LAST)

            progress.epoch, progress.batch = progress.epoch + 1, 0
            if progress.epoch % config.validate_every_epochs == 0 or progress.epoch == config.epochs:
                values, score = _validate(task, module, validation.loader.epoch(0), place)
                improved = math.isfinite(score) and (progress.best is None or score > progress.best)
                if improved:
                    progress.best = score
                if log:
                    log.write(progress.step, progress.epoch, values)
                if reporter and place.is_first:
                    reporter.epoch(progress.epoch, values, improved)
                if improved:
                    save(BEST)
            if config.follow and not dataset.complete:
                dataset.refresh()
                progress.shards = agreed_shards(dataset, place)
                train = open_split(config, dataset, "train", place, progress.shards)
                validation = open_split(config, dataset, "validation", place, progress.shards)
                train_groups = group_hashes(dataset, train.rows)
            save(LAST)
    return Outcome(True, progress, values)


def build_optimiser(module: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Return AdamW for AlphaDiffract, Adam for CrystalNet."""
    kind = torch.optim.AdamW if isinstance(config, AlphaDiffractTraining) else torch.optim.Adam
    return kind(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def _checkpoint_to_resume(config: Config, dataset: Dataset, out: Path) -> Checkpoint:
    found = checkpoints.load(out / LAST, kind_of(config))
    # Only settings that do not change the weights at a step may differ.
    free = {
        name: getattr(config, name)
        for name in ("epochs", "workers", "save_every_steps", "log_every_steps", "follow", "validate_every_epochs")
    }
    if replace(found.config, **free) != config:
        changed = [
            name for name in vars(config) if name not in free and getattr(config, name) != getattr(found.config, name)
        ]
        raise TrainerError(
            f"{out / LAST}: was started with other values of {', '.join(changed)}; resume with the same ones or "
            "choose another --out"
        )
    here, there = dataset_identity(dataset), found.dataset
    differ = [name for name in here if name != "path" and here[name] != there.get(name)]
    if differ:
        raise TrainerError(
            f"{out / LAST}: was trained on another dataset ({there.get('path')}): {', '.join(differ)} differ from "
            f"{dataset.path}"
        )
    return found


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
    module.train()
    return task.summarise(distributed.sum_over_processes(sums, place))


def _generator_states(noise: torch.Generator, place: Place) -> dict[str, Tensor]:
    states = {"torch": torch.get_rng_state(), "noise": noise.get_state()}
    if place.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(place.device)
    return states


def _restore_generators(states: dict[str, Tensor], noise: torch.Generator, place: Place) -> None:
    mine = {name.removesuffix(f"-{place.rank}"): s for name, s in states.items() if name.endswith(f"-{place.rank}")}
    wanted = set(_generator_states(noise, place))
    if set(mine) != wanted or len(states) != len(wanted) * place.world:
        raise TrainerError(
            "expected the number of processes and kind of device that wrote the checkpoint, found others; resume with "
            "those"
        )
    torch.set_rng_state(mine["torch"])
    noise.set_state(mine["noise"])
    if place.device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], place.device)


@contextmanager
def _stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGTERM or SIGINT arrived; a second one ends the process at once."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
