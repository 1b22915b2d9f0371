"""Speed of training AlphaDiffract at full size: loader, broadening, step and latency, on CPU and GPU.

    python -m benchmarks.trainer [--dataset PATH] [--seconds 5]

The last line is one JSON object. On one core, beside the former algorithms in the same run (`_former_trainer.py`; the
former loader read each structure from the store whenever it was wanted), medians of ROUNDS rounds in turn, in seconds
of the processor:

- `loader_ratio_1_sample`, `loader_ratio_10_samples`, `loader_ratio_100_samples`: structures per second of the loader of
  reflections with 1, 10 and 100 patterns of each, over the former one; `loader_structures_per_second_1_sample` etc.
- `broaden_ratio_17`, `broaden_ratio_100`, `broaden_ratio_1000`: patterns per second broadened from 17, 100 and 1,000
  reflections with `--compile`, over the former algorithm; `broaden_eager_ratio_17` etc. without it
- `step_ratio`: training steps with `--compile` over the former network; `step_eager_ratio` without it

Then for each device (`cpu`, `cuda`): patterns per second of the loader alone (both inputs), of broadening, of a
training step on loaded data, and of training with the loader, with the share of time that the device waits for data
(target: under 5 % on a GPU); and the median latency of a single pattern, beside the paper's 1.04 ms on an H100.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks._former_trainer import FormerAlphaDiffract, former_sum
from benchmarks.gpu import INSTRUMENT, broadening_case
from benchmarks.learning import made_dataset
from trainer.data.loader import Loader
from trainer.data.store import Dataset, open_dataset
from trainer.models.alphadiffract import AlphaDiffract
from trainer.simulate.broaden import broaden
from trainer.simulate.parameters import Parameters
from trainer.simulate.sticks import Sticks
from trainer.training.config import AlphaDiffractTraining
from trainer.training.datasets import LabelColumns, build_task, open_split, source_of
from trainer.training.distributed import Place
from trainer.training.precision import autocast
from trainer.training.state import build_optimiser
from trainer.training.tasks import AlphaDiffractTask

PAPER_LATENCY_MS = 1.04
ROUNDS = 3
STEP_BATCH = 16
CPU = torch.device("cpu")


def main() -> None:
    """Measure every device of this machine."""
    options = argparse.ArgumentParser(description="How fast is training?")
    options.add_argument("--dataset", type=Path)
    options.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    given = options.parse_args()
    torch.set_num_threads(1)
    devices = [torch.device("cpu"), *([torch.device("cuda", 0)] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory() as scratch:
        path = given.dataset or made_dataset(Path(scratch))
        result: dict[str, Any] = {"cores": os.cpu_count(), "batch": given.batch, "paper_latency_ms": PAPER_LATENCY_MS}
        dataset = open_dataset(path)
        result |= compare_loaders(dataset, given.seconds, given.batch, given.workers)
        result |= compare_broadening(given.seconds) | compare_steps(given.seconds)
        for device in devices:
            result[device.type] = measure(path, Place(device), given.seconds, given.batch, given.workers)
    print(json.dumps(result))


def in_turn(variants: dict[str, Callable[[], int]], seconds: float) -> dict[str, float]:
    """Return the median rate of each variant over rounds in which each is measured once, by the processor's clock."""
    rounds = [
        {name: rate(once, seconds / ROUNDS, clock=time.process_time) for name, once in variants.items()}
        for _ in range(ROUNDS)
    ]
    return {name: statistics.median(found[name] for found in rounds) for name in variants}


def compare_loaders(dataset: Dataset, seconds: float, batch: int, workers: int) -> dict[str, float]:
    """Return structures per second of the loader of reflections, and how many times those of the former one."""
    found = {}
    for samples in (1, 10, 100):
        config = AlphaDiffractTraining(input="sticks", batch_size=batch, workers=workers, samples_per_structure=samples)
        today = open_split(config, dataset, "train", Place(CPU), None)
        former = replace(today.loader, source=source_of("sticks", dataset, LabelColumns(dataset, today.rows)))
        rates = in_turn({"today": partial(epoch, today.loader), "former": partial(epoch, former)}, seconds)
        name = f"{samples} sample{'s' * (samples > 1)}".replace(" ", "_")
        found[f"loader_structures_per_second_{name}"] = rates["today"] / samples
        found[f"loader_ratio_{name}"] = rates["today"] / rates["former"]
    return found


def epoch(loader: Loader[Any, Any]) -> int:
    """Load all patterns of an epoch; part of one would be read ahead before the clock starts."""
    return sum(len(batch) for batch in loader.epoch(0))


def compare_broadening(seconds: float) -> dict[str, float]:
    """Return patterns per second broadened from few and many reflections, and how many times the former ones."""
    found = {}
    for reflections, patterns in ((17, 64), (100, 64), (1000, 16)):
        sticks, parameters = broadening_case(patterns, reflections, CPU)

        def former(s: Sticks = sticks, p: Parameters = parameters) -> int:
            with patch("trainer.simulate.broaden.sum_profiles", lambda *given, compiled: former_sum(*given)):
                return len(broaden(s, p, INSTRUMENT))

        def today(compiled: bool, s: Sticks = sticks, p: Parameters = parameters) -> int:
            return len(broaden(s, p, INSTRUMENT, compiled=compiled))

        variants = {"former": former, "eager": partial(today, False), "compiled": partial(today, True)}
        rates = in_turn(variants, seconds)
        found[f"broaden_patterns_per_second_{reflections}"] = rates["compiled"]
        found[f"broaden_ratio_{reflections}"] = rates["compiled"] / rates["former"]
        found[f"broaden_eager_ratio_{reflections}"] = rates["eager"] / rates["former"]
    return found


def compare_steps(seconds: float) -> dict[str, float]:
    """Return training steps of full size in patterns per second, and how many times those of the former network."""
    network = AlphaDiffract()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-4, fused=True)
    patterns = 100 * torch.rand(STEP_BATCH, 8192) ** 6

    def step(model: nn.Module) -> int:
        prediction = model(patterns)
        loss = sum(part.float().square().mean() for part in prediction)
        assert isinstance(loss, Tensor)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return STEP_BATCH

    models = {"former": FormerAlphaDiffract(network), "eager": network, "compiled": torch.compile(network)}
    rates = in_turn({name: partial(step, model) for name, model in models.items()}, 3 * seconds)
    return {
        "step_patterns_per_second": rates["compiled"],
        "step_ratio": rates["compiled"] / rates["former"],
        "step_eager_ratio": rates["eager"] / rates["former"],
    }


def measure(path: Path, place: Place, seconds: float, batch: int, workers: int) -> dict[str, Any]:
    """Return all results of one device."""
    dataset = open_dataset(path)
    found: dict[str, Any] = {}
    for name in ("patterns", "sticks"):
        config = AlphaDiffractTraining(input=name, batch_size=batch, workers=workers)
        found |= measure_input(dataset, config, place, seconds)
    module = build_task(config, dataset, place).build()
    found["latency_ms"] = latency_ms(module, config, place, seconds)
    return found


def measure_input(dataset: Dataset, config: AlphaDiffractTraining, place: Place, seconds: float) -> dict[str, float]:
    """Measure the loader, inputs made on the device (broadening, noise), a step on loaded data, and all together."""
    task = build_task(config, dataset, place)
    assert isinstance(task, AlphaDiffractTask)
    data = open_split(config, dataset, "train", place, None)
    batches = (batch for epoch in range(1_000_000) for batch in data.loader.epoch(epoch))
    here = next(batches).to(place.device)
    generator = torch.Generator(place.device).manual_seed(0)
    finish = torch.cuda.synchronize if place.device.type == "cuda" else _nothing
    module = task.build()
    optimiser = build_optimiser(module, config)

    def inputs() -> int:
        return len(task.inputs(here, generator)[0])

    def step(batch: Any) -> int:
        task.loss(module, batch, generator).total.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return len(batch)

    found = {
        "loader": rate(lambda: len(next(batches)), seconds),
        "inputs": rate(inputs, seconds, finish),
        "step": rate(lambda: step(here), seconds, finish),
    }
    together, waiting = trained(batches, step, place, seconds, finish)
    rates = {f"{name}_{config.input}_per_second": value for name, value in {**found, "training": together}.items()}
    return {**rates, f"share_waiting_{config.input}": waiting}


def trained(
    batches: Iterator[Any],
    step: Callable[[Any], int],
    place: Place,
    seconds: float,
    finish: Callable[[], None],
) -> tuple[float, float]:
    """Return patterns per second with the loader, and the share of time spent waiting for a batch."""
    begun, waited, patterns = time.perf_counter(), 0.0, 0
    while time.perf_counter() - begun < seconds:
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        patterns += step(batch.to(place.device))
        finish()  # so that the device's time is seen; in training it runs behind and hides more of the waiting
    elapsed = time.perf_counter() - begun
    return patterns / elapsed, waited / elapsed


@torch.no_grad()
def latency_ms(module: torch.nn.Module, config: AlphaDiffractTraining, place: Place, seconds: float) -> float:
    """Return the median time in ms of one pattern, from host memory to results in host memory."""
    module.eval()
    pattern = 100 * torch.rand(1, config.model.input_points)
    times = []
    begun = time.perf_counter()
    while time.perf_counter() - begun < min(seconds, 10) or len(times) < 20:
        before = time.perf_counter()
        with autocast(config.precision, place.device):
            [x.cpu() for x in module(pattern.to(place.device))]
        times.append(1e3 * (time.perf_counter() - before))
    return statistics.median(times[5:])


def rate(
    once: Callable[[], int],
    seconds: float,
    finish: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return patterns per second, after one warm-up call."""
    once()
    finish()
    begun, patterns = clock(), 0
    while clock() - begun < seconds:
        patterns += once()
        finish()
    return patterns / (clock() - begun)


def _nothing() -> None:
    return None


if __name__ == "__main__":
    main()
