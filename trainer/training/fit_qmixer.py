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
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.models.qmixer import LATTICES, SYSTEM_ENDS, QMixer, QMixerConfig, QMixerOutput
from trainer.simulate.artefacts import Artefacts, Simulator
from trainer.simulate.axis import N_BINS
from trainer.training.bravais import DEGREES
from trainer.training.packed import SUFFIX, unpack
from trainer.training.precision import PRECISIONS, autocast
from trainer.training.structures import (
    Structures,
    drawing_weights,
    join,
    read_split,
    refuse_truncated,
    without_groups_of,
)

FORMAT, FORMAT_VERSION = "pxrd-trainer-qmixer", 1
LAST = "last.pt"
FEW_ROWS = 3
SMALLEST_DEVIATION = 0.05
CPU = torch.device("cpu")
NORMAL = Artefacts()
STATISTICS = {
    "lattice_mean": "the mean cells",
    "lattice_deviation": "the spreads of the cells",
    "log_prior": "the frequencies of space groups",
}
"""Of the training structures, in every checkpoint."""
LOSSES = ("space_group_loss", "system_loss", "lattice_loss")


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
    generated_share: float = 0.3
    """Patterns of generated crystals, if there are any."""
    lattice_weight: float = 3.0
    gradient_norm: float = 1.0
    compile: bool = False
    """Compile the network; worth it on a GPU."""
    precision: str = "auto"
    """bf16 where the device has instructions for it, else fp32; or one of both."""
    seed: int = 0
    validate_minutes: float = 10.0
    save_minutes: float = 3.0
    validation_structures: int = 1500
    model: QMixerConfig = field(default_factory=QMixerConfig)
    artefacts: Artefacts = field(default_factory=Artefacts)
    """What varies between patterns, wavelength, range and step included."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.patterns is None):
            raise TrainerError("expected a budget, either minutes or patterns")
        for name, least in (("batch", 2), ("warm_up_steps", 1), ("validation_structures", 1)):
            if getattr(self, name) < least:
                raise TrainerError(f"{name}: expected at least {least}, found {getattr(self, name)}")
        for name in ("minutes", "patterns", "learning_rate", "gradient_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainerError(f"{name}: expected more than 0, found {value}")
        for name in ("weight_decay", "lattice_weight", "seed", "validate_minutes", "save_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TrainerError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        for name in ("ema", "label_smoothing", "class_power", "generated_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainerError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise TrainerError(f"precision: expected one of {', '.join(PRECISIONS)}, found {self.precision}")
        if self.model.bins != N_BINS:
            raise TrainerError(f"model.bins: expected {N_BINS}, found {self.model.bins}")


@dataclass(frozen=True)
class Start:
    """Weights of an earlier training to begin with, and the units of their lattices."""

    network: dict[str, Tensor]
    lattice_mean: Tensor
    lattice_deviation: Tensor


@dataclass
class State:
    """Everything that a resumed run needs."""

    config: QMixerTraining
    model: QMixer
    network: Callable[[Tensor], QMixerOutput]
    """The model as it is trained: itself, or compiled."""
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
    datasets: Sequence[str | Path],
    out: Path,
    *,
    generated: Sequence[str | Path] = (),
    start: Start | None = None,
    resume: bool = False,
    threads: int = 1,
    device: torch.device = CPU,
    report: Callable[[dict[str, Any]], None] = lambda values: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> State:
    """Train on the structures of datasets until the budget is used; keep `last.pt` and `log.jsonl` in `out`.

    `start` holds the weights to begin with, of a network of the size in `config`; without it they are random.
    """
    torch.set_num_threads(1)
    if resume and not (out / LAST).exists():
        raise TrainerError(f"{out / LAST}: no checkpoint here to resume; leave out --resume to begin a run")
    train, validation = read_structures(datasets, generated, config.validation_structures, config.artefacts, say)
    return fit_on(
        config, train, validation, out, start=start, resume=resume, threads=threads, device=device, report=report
    )


def read_structures(
    datasets: Sequence[str | Path],
    generated: Sequence[str | Path],
    most_validation: int,
    artefacts: Artefacts = NORMAL,
    say: Callable[[str], None] = lambda sentence: None,
) -> tuple[Structures, Structures]:
    """Return the structures to train on and at most `most_validation` others, none of them generated.

    A file of structures can be given in place of a dataset. Structures to validate with are left out where a dataset,
    split otherwise, trains on their formula and space group.
    """
    sources = [*datasets, *generated]
    each = max(1, most_validation // max(1, len(datasets)))
    train, validation = [], []
    for number, source in enumerate(sources):
        made = number >= len(datasets)
        if str(source).endswith(SUFFIX):
            own, others = unpack(Path(source))
            refuse_truncated(source, float(own.d_min_A.max()), artefacts)
        else:
            dataset = open_dataset(source)
            refuse_truncated(dataset.path, dataset.d_min_A, artefacts)
            own, others = read_split(dataset, "train"), read_split(dataset, "validation", each)
        train.append(replace(own, generated=torch.ones_like(own.generated)) if made else own)
        if not made or not datasets:
            validation.append(others)
    own, others = join(train), join(validation)
    kept = without_groups_of(others, own)
    if not len(kept):
        raise TrainerError(
            f"{', '.join(map(str, sources))}: no structure to validate with is left, since the formula and space group "
            "of each is in a training split; curate the datasets with the same settings of the split"
        )
    if len(kept) < len(others):
        say(
            f"{len(others) - len(kept)} of {len(others)} validation structures are left out: their formula and space "
            "group are in the training split of another dataset"
        )
    return own, kept


def fit_on(
    config: QMixerTraining,
    train: Structures,
    validation: Structures,
    out: Path,
    *,
    start: Start | None = None,
    resume: bool = False,
    threads: int = 1,
    device: torch.device = CPU,
    report: Callable[[dict[str, Any]], None] = lambda values: None,
) -> State:
    """Train on structures that were read."""
    config.artefacts.refuse_narrow()
    torch.manual_seed(config.seed)
    state = begin(config, train, device, start)
    if resume:
        restore(state, out / LAST)
    elif (out / LAST).exists():
        raise TrainerError(f"{out / LAST} exists; resume it with --resume or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    train, validation = train.to(device), validation.to(device)
    numbers = torch.arange(len(validation), device=device)
    checks = [draw(validation, numbers, _generator(config.seed, -1, device), config.artefacts)]
    began, before = time.monotonic(), state.seconds
    validated = saved = began
    losses: deque[Tensor] = deque(maxlen=100)

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


def begin(config: QMixerTraining, train: Structures, device: torch.device = CPU, start: Start | None = None) -> State:
    """Return a network on a device with the statistics of its training structures, which are still on the CPU.

    Weights to start with keep the means of their own structures.
    """
    mean, deviation = torch.zeros(LATTICES, 6), torch.ones(LATTICES, 6)
    natural = torch.ones_like(train.generated) if bool(train.generated.all()) else ~train.generated
    for lattice in range(LATTICES):
        here = train.lattice[natural & (train.bravais == lattice)]
        if len(here) > FEW_ROWS:
            mean[lattice] = here.mean(dim=0)
            deviation[lattice] = here.std(dim=0).clamp(min=SMALLEST_DEVIATION)
    # Half a structure more: groups that only generated crystals have are rare, not impossible.
    frequency = torch.bincount(train.space_group[natural], minlength=230).double() + 0.5
    weights = drawing_weights(train, config.class_power, config.generated_share)
    drawn = torch.bincount(train.space_group, weights, minlength=230)
    log_prior = torch.where(drawn > 0, torch.log(drawn) - torch.log(frequency / frequency.sum()), 0.0).float()
    model = QMixer(config.model)
    if start is not None:
        model.load_state_dict(start.network)
        mean, deviation = start.lattice_mean, start.lattice_deviation
    model = model.to(device)
    decayed = [p for n, p in model.named_parameters() if p.dim() > 1 and n != "position"]
    others = [p for n, p in model.named_parameters() if not (p.dim() > 1 and n != "position")]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    average = copy.deepcopy(model).eval()
    network = torch.compile(model) if config.compile else model
    return State(
        config, model, network, average, optimiser, mean.to(device), deviation.to(device), log_prior.to(device)
    )


def draw(
    structures: Structures, numbers: Tensor, generator: torch.Generator, artefacts: Artefacts = NORMAL
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return inputs and labels of fresh patterns."""
    inputs, change = Simulator(structures.sticks, artefacts)(numbers, generator)
    change[:, 3:] /= DEGREES
    lattice = structures.lattice[numbers] + change
    return inputs, {
        "space_group": structures.space_group[numbers],
        "bravais": structures.bravais[numbers],
        "lattice": lattice,
    }


def batches(
    config: QMixerTraining, train: Structures, first: int, threads: int
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yield batches without end in the order of their numbers; on a processor threads draw them ahead."""
    weights = drawing_weights(train, config.class_power, config.generated_share)
    device = train.space_group.device

    def make(number: int) -> tuple[Tensor, dict[str, Tensor]]:
        generator = _generator(config.seed, number, device)
        numbers = torch.multinomial(weights, config.batch, replacement=True, generator=generator)
        return draw(train, numbers, generator, config.artefacts)

    if device.type != "cpu":
        yield from (make(number) for number in count(first))

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


def train_step(state: State, inputs: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Update the network and its average on one batch; return `LOSSES`, without waiting for them."""
    c = state.config
    rate = c.learning_rate * min(1.0, (state.step + 1) / c.warm_up_steps)
    rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(state.done, 1.0)))
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.model.train()
    torch.manual_seed(_seed_of(c.seed, state.step))  # dropout of a step is the same after a resume
    with autocast(c.precision, inputs.device, processors=True):
        output = state.network(inputs)
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
    return torch.stack([symmetry.detach(), system.detach(), lattice.detach()])


def lattice_loss(state: State, output: QMixerOutput, labels: dict[str, Tensor]) -> Tensor:
    """Mean absolute error of the lattice at the true Bravais lattice, in logarithms of lengths."""
    which = labels["bravais"]
    predicted = _at_true(output.lattice, which)
    deviation = state.lattice_deviation[which]
    wanted = (labels["lattice"] - state.lattice_mean[which]) / deviation
    return ((predicted - wanted).abs() * deviation).mean()


@torch.no_grad()
def evaluate(state: State, checks: list[tuple[Tensor, dict[str, Tensor]]]) -> dict[str, float]:
    """Return accuracies of the averaged network on fixed simulated patterns."""
    right = {"crystal_system": 0.0, "space_group": 0.0, "space_group_top5": 0.0, "length_error": 0.0}
    count = 0
    for inputs, labels in checks:
        for part in torch.split(torch.arange(len(inputs), device=inputs.device), 256):
            output = state.average(inputs[part])
            logits = output.space_group - state.log_prior
            truth = labels["space_group"][part]
            ranked = logits.argsort(dim=1, descending=True)
            system = QMixerOutput(logits, output.lattice).log_crystal_system.argmax(dim=1)
            right["crystal_system"] += float((system == _system_of(truth)).sum())
            right["space_group"] += float((ranked[:, 0] == truth).sum())
            right["space_group_top5"] += float((ranked[:, :5] == truth[:, None]).any(dim=1).sum())
            which = labels["bravais"][part]
            values = _at_true(output.lattice, which) * state.lattice_deviation[which]
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
    content = _read(path, state.log_prior.device)
    free = ("minutes", "patterns", "validate_minutes", "save_minutes")
    # A checkpoint may be older than a setting.
    before = asdict(QMixerTraining(patterns=1))
    wanted, found = asdict(state.config), {**before, **content["config"]}
    found["artefacts"] = {**before["artefacts"], "strain_anisotropic": 0.0, **found["artefacts"]}
    changed = [name for name in wanted if name not in free and wanted[name] != found[name]]
    if changed:
        raise TrainerError(f"{path}: begun with another {', '.join(changed)}; resume with the same")
    for name, what in STATISTICS.items():
        if not torch.allclose(content[name], getattr(state, name), rtol=1e-4, atol=1e-4):
            raise TrainerError(
                f"{path}: begun on other structures: {what} are not those of the datasets given; resume with the same "
                "datasets and the same --start, or choose another --out"
            )
    state.model.load_state_dict(content["model"])
    state.average.load_state_dict(content["average"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.step, state.seconds = content["step"], content["seconds"]


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise TrainerError(
            f"{path}: expected a checkpoint of qmixer, found another or a damaged file ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise TrainerError(f"{path}: expected a checkpoint of qmixer, found {found!r:.80}")
    return content


def mean_of(losses: deque[Tensor]) -> dict[str, float]:
    """Return the mean of each loss over recent steps."""
    if not losses:
        return {}
    means = torch.stack(list(losses)).mean(dim=0).tolist()
    return {name: round(value, 4) for name, value in zip(LOSSES, means, strict=True)}


def _at_true(lattices: Tensor, bravais: Tensor) -> Tensor:
    return lattices[torch.arange(len(bravais), device=bravais.device), bravais]


def _system_of(space_group: Tensor) -> Tensor:
    ends = torch.tensor(SYSTEM_ENDS, device=space_group.device)
    return torch.bucketize(space_group, ends, right=True)


def _generator(seed: int, number: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(_seed_of(seed, number))


def _seed_of(seed: int, number: int) -> int:
    """Return a seed for batch `number`, from -1."""
    return int(np.random.SeedSequence([seed, number + 1]).generate_state(1, np.uint64)[0]) >> 1
