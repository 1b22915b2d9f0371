"""The state of a run: network, optimiser, generators and position; begun afresh or restored from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.training import checkpoint as checkpoints
from trainer.training import distributed
from trainer.training.average import WeightAverage
from trainer.training.checkpoint import Checkpoint, Progress
from trainer.training.config import AlphaDiffractTraining, Config, kind_of
from trainer.training.datasets import dataset_identity
from trainer.training.distributed import Place
from trainer.training.random_state import generator_states, restore_generators
from trainer.training.tasks import Task

LAST, BEST = "last.pt", "best.pt"
FUSED_ON = ("cpu", "cuda")
FREE = (
    "epochs",
    "minutes",
    "patterns",
    "workers",
    "save_every_steps",
    "save_minutes",
    "log_every_steps",
    "follow",
    "validate_every_epochs",
    "resident_gigabytes",
)
"""Settings that a resumed run may change: none of them changes a step."""


@dataclass
class State:
    """Everything that changes while a run trains."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    noise: torch.Generator
    progress: Progress
    average: WeightAverage | None = None

    @property
    def validated(self) -> nn.Module:
        """The network that validation and predictions use."""
        return self.module if self.average is None else self.average.module

    def save(self, path: Path, config: Config, identity: dict[str, Any], place: Place) -> None:
        """Write `last.pt`, from which a run is resumed, or `best.pt`, which has no more than predictions need."""
        states = distributed.gather(generator_states(self.noise, place), place)
        if not place.is_first:
            return
        resumable = path.name != BEST
        found = Checkpoint(
            config,
            self.progress,
            (self.module if resumable else self.validated).state_dict(),
            self.optimiser.state_dict() if resumable else {},
            states,
            identity,
            self.average.module.state_dict() if self.average is not None and resumable else {},
        )
        checkpoints.save(path, found)


def begin(config: Config, task: Task, place: Place, before: Checkpoint | None, where: Path) -> State:
    """Build the network and its optimiser; with the checkpoint `before`, as they were."""
    torch.manual_seed(config.seed)  # the same weights in all processes
    module = task.build()
    torch.manual_seed(config.seed + place.rank)  # different dropped paths
    noise = torch.Generator(place.device).manual_seed(config.seed + place.rank)
    average = WeightAverage(module, config.ema) if config.ema > 0 else None
    state = State(module, build_optimiser(module, config), noise, before.progress if before else Progress(), average)
    if before is None:
        return state
    try:
        module.load_state_dict(before.model)
        state.optimiser.load_state_dict(before.optimiser)
        if average is not None:
            average.module.load_state_dict(before.average)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainerError(
            f"{where}: its weights or optimiser do not fit its configuration "
            f"({(str(error).splitlines() or [''])[0]:.200})"
        ) from error
    restore_generators(before.generators, noise, place)
    return state


def build_optimiser(module: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Return AdamW for AlphaDiffract, Adam for CrystalNet, fused where the device has it."""
    kind = torch.optim.AdamW if isinstance(config, AlphaDiffractTraining) else torch.optim.Adam
    fused = all(p.device.type in FUSED_ON for p in module.parameters())
    return kind(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def checkpoint_to_resume(config: Config, dataset: Dataset, out: Path) -> Checkpoint:
    """Read `last.pt`; refuse one of other settings or of another dataset."""
    found = checkpoints.load(out / LAST, kind_of(config))
    free = {name: getattr(config, name) for name in FREE if hasattr(config, name)}
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
