"""Training of QMixer on fresh patterns with artefacts, for a number of minutes or patterns.

Batch i is a function of (seed, i): it is drawn ahead by threads, and a resumed run sees the batches that an undisturbed
one would have seen. The learning rate follows a cosine over the budget, validation and prediction use an exponential
average of the weights.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.data.read_flat_sticks import read_flat_sticks
from trainer.data.store import Dataset, open_dataset
from trainer.errors import TrainerError
from trainer.models.qmixer import LATTICES, QMixer, QMixerConfig, QMixerOutput
from trainer.simulate.artefacts import Simulator
from trainer.training.bravais import bravais_of_groups, to_numbers

FORMAT, FORMAT_VERSION = "pxrd-trainer-qmixer", 1
LAST = "last.pt"
FEW_ROWS = 3
SMALLEST_DEVIATION = 0.05


@dataclass(frozen=True)
class QMixerTraining:
    """Settings of a run."""

    minutes: float | None = None
    """Budget of training time over all resumed runs."""
    patterns: int | None = None
    """Budget of patterns, instead of minutes."""
    batch: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warm_up_steps: int = 300
    ema: float = 0.999
    label_smoothing: float = 0.05
    class_power: float = 0.5
    """Structures are drawn with the frequency of their space group to this power; logits are corrected afterwards."""
    lattice_weight: float = 3.0
    gradient_norm: float = 1.0
    seed: int = 0
    validate_minutes: float = 10.0
    save_minutes: float = 3.0
    validation_structures: int = 1500
    model: QMixerConfig = field(default_factory=QMixerConfig)

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.patterns is None):
            raise TrainerError("expected a budget, either minutes or patterns")


@dataclass(frozen=True)
class Structures:
    """Reflections and labels of one split."""

    simulator: Simulator
    space_group: Tensor
    """From 0."""
    bravais: Tensor
    lattice: Tensor
    """Numbers of `bravais.to_numbers`."""

    def __len__(self) -> int:
        return len(self.space_group)


@dataclass
class State:
    """Everything that a resumed run needs."""

    config: QMixerTraining
    model: QMixer
    average: QMixer
    optimiser: torch.optim.Optimizer
    lattice_mean: Tensor
    lattice_deviation: Tensor
    log_prior: Tensor
    """Logarithm of the frequency of each space group among the drawn patterns over that among structures."""
    step: int = 0
    seconds: float = 0.0

    @property
    def patterns(self) -> int:
        """Patterns seen so far."""
        return self.step * self.config.batch

    @property
    def done(self) -> float:
        """Share of the budget that is used."""
        if self.config.patterns is not None:
            return self.patterns / self.config.patterns
        assert self.config.minutes is not None
        return self.seconds / (60 * self.config.minutes)


def fit_qmixer(
    config: QMixerTraining,
    dataset: str | Path,
    out: Path,
    *,
    resume: bool = False,
    threads: int = 1,
    report: Callable[[dict[str, Any]], None] = lambda values: None,
) -> State:
    """Train until the budget is used; keep `last.pt` and `log.jsonl` in `out`."""
    torch.set_num_threads(1)
    source = open_dataset(dataset)
    train, validation = read_split(source, "train"), read_split(source, "validation", config.validation_structures)
    torch.manual_seed(config.seed)
    state = begin(config, train)
    if resume:
        restore(state, out / LAST)
    elif (out / LAST).exists():
        raise TrainerError(f"{out / LAST} exists; resume it with --resume or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    checks = [draw(validation, torch.arange(len(validation)), _generator(config.seed, -1))]
    began, before = time.monotonic(), state.seconds
    validated = saved = began
    losses: deque[dict[str, float]] = deque(maxlen=100)

    def note(values: dict[str, Any]) -> None:
        values = {"minutes": round(state.seconds / 60, 2), "patterns": state.patterns, **values}
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(values) + "\n")
        report(values)

    for inputs, labels in batches(config, train, state.step, threads):
        if state.done >= 1:
            break
        losses.append(train_step(state, inputs, labels))
        now = time.monotonic()
        state.seconds = before + now - began
        if now - validated > 60 * config.validate_minutes:
            note({"validation": evaluate(state, checks), **mean_of(losses)})
            validated = time.monotonic()
        if now - saved > 60 * config.save_minutes:
            save(state, out / LAST)
            saved = time.monotonic()
    note({"validation": evaluate(state, checks), **mean_of(losses)})
    save(state, out / LAST)
    return state


def read_split(dataset: Dataset, split: str, most: int | None = None) -> Structures:
    """Read reflections and labels of a split, at most `most` structures evenly spread over it."""
    rows = dataset.rows(split)
    if most is not None and len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    sticks = read_flat_sticks(dataset, rows)
    counts = sticks.first.diff().numpy()
    if (counts < 1).any():
        rows = rows[counts > 0]
        sticks = read_flat_sticks(dataset, rows)
    if not len(rows):
        raise TrainerError(f"{dataset.path}: its split {split} has no structure with reflections in the range of ln q")
    group = dataset.column("space_group")[rows].astype(np.int64) - 1
    return Structures(
        Simulator(sticks),
        torch.from_numpy(group),
        torch.from_numpy(bravais_of_groups()[group]),
        torch.from_numpy(to_numbers(dataset.column("niggli")[rows].astype(np.float64))),
    )


def begin(config: QMixerTraining, train: Structures) -> State:
    """Return a new network with the statistics of its training structures."""
    mean, deviation = torch.zeros(LATTICES, 6), torch.ones(LATTICES, 6)
    for lattice in range(LATTICES):
        here = train.lattice[train.bravais == lattice]
        if len(here) > FEW_ROWS:
            mean[lattice] = here.mean(dim=0)
            deviation[lattice] = here.std(dim=0).clamp(min=SMALLEST_DEVIATION)
    frequency = torch.bincount(train.space_group, minlength=230).double()
    drawn = torch.bincount(train.space_group, _weights(config, train), minlength=230)
    log_prior = torch.log(drawn.clamp(min=1e-9)) - torch.log((frequency / frequency.sum()).clamp(min=1e-9))
    model = QMixer(config.model)
    decayed = [p for n, p in model.named_parameters() if p.dim() > 1 and n != "position"]
    others = [p for n, p in model.named_parameters() if not (p.dim() > 1 and n != "position")]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    average = copy.deepcopy(model).eval()
    return State(config, model, average, optimiser, mean, deviation, torch.where(frequency > 0, log_prior, 0).float())


def draw(structures: Structures, numbers: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Return inputs and labels of fresh patterns."""
    inputs, log_scale = structures.simulator(numbers, generator)
    lattice = structures.lattice[numbers].clone()
    lattice[:, :3] += log_scale[:, None]
    return inputs, {
        "space_group": structures.space_group[numbers],
        "bravais": structures.bravais[numbers],
        "lattice": lattice,
    }


def batches(
    config: QMixerTraining, train: Structures, first: int, threads: int
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yield batches without end, drawn ahead in threads, in the order of their numbers."""
    weights = _weights(config, train)

    def make(number: int) -> tuple[Tensor, dict[str, Tensor]]:
        generator = _generator(config.seed, number)
        numbers = torch.multinomial(weights, config.batch, replacement=True, generator=generator)
        return draw(train, numbers, generator)

    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[tuple[Tensor, dict[str, Tensor]]]] = deque()
        number = first
        try:
            while True:
                while len(ahead) < 2 * threads:
                    ahead.append(pool.submit(make, number))
                    number += 1
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def train_step(state: State, inputs: Tensor, labels: dict[str, Tensor]) -> dict[str, float]:
    """Update the network and its average on one batch; return the losses."""
    c = state.config
    rate = c.learning_rate * min(1.0, (state.step + 1) / c.warm_up_steps)
    rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(state.done, 1.0)))
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.model.train()
    torch.manual_seed(_seed_of(c.seed, state.step))  # dropout of a step is the same after a resume
    with torch.autocast(inputs.device.type, torch.bfloat16):
        output = state.model(inputs)
    symmetry = functional.cross_entropy(output.space_group, labels["space_group"], label_smoothing=c.label_smoothing)
    system = functional.nll_loss(output.log_crystal_system, _system_of(labels["space_group"]))
    lattice = lattice_loss(state, output, labels)
    loss = symmetry + 0.5 * system + c.lattice_weight * lattice
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), c.gradient_norm)
    state.optimiser.step()
    state.step += 1
    keep = min(c.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.parameters()), list(state.model.parameters()), 1 - keep)
    return {
        "space_group_loss": float(symmetry.detach()),
        "system_loss": float(system.detach()),
        "lattice_loss": float(lattice.detach()),
    }


def lattice_loss(state: State, output: QMixerOutput, labels: dict[str, Tensor]) -> Tensor:
    """Mean absolute error of the lattice at the true Bravais lattice, in logarithms of lengths."""
    which = labels["bravais"]
    predicted = output.lattice[torch.arange(len(which)), which]
    deviation = state.lattice_deviation[which]
    wanted = (labels["lattice"] - state.lattice_mean[which]) / deviation
    return ((predicted - wanted).abs() * deviation).mean()


@torch.no_grad()
def evaluate(state: State, checks: list[tuple[Tensor, dict[str, Tensor]]]) -> dict[str, float]:
    """Return accuracies of the averaged network on fixed simulated patterns."""
    right = {"crystal_system": 0.0, "space_group": 0.0, "space_group_top5": 0.0, "length_error": 0.0}
    count = 0
    for inputs, labels in checks:
        for part in torch.split(torch.arange(len(inputs)), 256):
            output = state.average(inputs[part])
            logits = output.space_group - state.log_prior
            truth = labels["space_group"][part]
            ranked = logits.argsort(dim=1, descending=True)
            system = QMixerOutput(logits, output.lattice).log_crystal_system.argmax(dim=1)
            right["crystal_system"] += float((system == _system_of(truth)).sum())
            right["space_group"] += float((ranked[:, 0] == truth).sum())
            right["space_group_top5"] += float((ranked[:, :5] == truth[:, None]).any(dim=1).sum())
            which = labels["bravais"][part]
            values = output.lattice[torch.arange(len(part)), which] * state.lattice_deviation[which]
            error = (values + state.lattice_mean[which] - labels["lattice"][part])[:, :3].abs()
            right["length_error"] += float(error.mean(dim=1).sum())
            count += len(part)
    return {name: round(value / count, 4) for name, value in right.items()}


def save(state: State, path: Path) -> None:
    """Write everything that resuming and predicting need, whole or not at all."""
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": asdict(state.config),
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "lattice_mean": state.lattice_mean,
        "lattice_deviation": state.lattice_deviation,
        "log_prior": state.log_prior,
        "step": state.step,
        "seconds": state.seconds,
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    torch.save(content, partial)
    partial.replace(path)


def restore(state: State, path: Path) -> None:
    """Load a checkpoint into a state of the same settings; the budget may differ."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content.get("format") != FORMAT:
        raise TrainerError(f"{path}: expected a checkpoint of qmixer, found {content.get('format')!r}")
    free = ("minutes", "patterns", "validate_minutes", "save_minutes")
    wanted, found = asdict(state.config), content["config"]
    changed = [name for name in wanted if name not in free and wanted[name] != found[name]]
    if changed:
        raise TrainerError(f"{path}: begun with another {', '.join(changed)}; resume with the same")
    state.model.load_state_dict(content["model"])
    state.average.load_state_dict(content["average"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.step, state.seconds = content["step"], content["seconds"]


def mean_of(losses: deque[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each loss over recent steps."""
    if not losses:
        return {}
    return {name: round(float(np.mean([loss[name] for loss in losses])), 4) for name in losses[0]}


def _weights(config: QMixerTraining, train: Structures) -> Tensor:
    counts = torch.bincount(train.space_group, minlength=230).double()
    weights = counts[train.space_group] ** (config.class_power - 1)
    return weights / weights.sum()


def _system_of(space_group: Tensor) -> Tensor:
    ends = torch.tensor([2, 15, 74, 142, 167, 194, 230])
    return torch.bucketize(space_group, ends, right=True)


def _generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed_of(seed, number))


def _seed_of(seed: int, number: int) -> int:
    """Return a seed for batch `number`, from -1."""
    return int(np.random.SeedSequence([seed, number + 1]).generate_state(1, np.uint64)[0]) >> 1
