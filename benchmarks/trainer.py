"""Speed of training AlphaDiffract at full size: loader, broadening, step and latency, on CPU and GPU.

    python -m benchmarks.trainer [--dataset PATH] [--seconds 20]

Prints JSON with one entry for each device: patterns per second of the loader alone (both inputs), of broadening, of a
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
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning import made_dataset
from trainer.data.store import Dataset, open_dataset
from trainer.training.config import AlphaDiffractTraining
from trainer.training.datasets import build_task, open_split
from trainer.training.distributed import Place
from trainer.training.state import build_optimiser
from trainer.training.tasks import AlphaDiffractTask, autocast

PAPER_LATENCY_MS = 1.04


def main() -> None:
    """Measure every device of this machine."""
    options = argparse.ArgumentParser(description="How fast is training?")
    options.add_argument("--dataset", type=Path)
    options.add_argument("--seconds", type=float, default=20.0, help="for each figure")
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    given = options.parse_args()
    devices = [torch.device("cpu"), *([torch.device("cuda", 0)] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory() as scratch:
        path = given.dataset or made_dataset(Path(scratch))
        result: dict[str, Any] = {"cores": os.cpu_count(), "batch": given.batch, "paper_latency_ms": PAPER_LATENCY_MS}
        for device in devices:
            result[device.type] = measure(path, Place(device), given.seconds, given.batch, given.workers)
    print(json.dumps(result))


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


def rate(once: Callable[[], int], seconds: float, finish: Callable[[], None] = lambda: None) -> float:
    """Return patterns per second, after one warm-up call."""
    once()
    finish()
    begun, patterns = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        patterns += once()
        finish()
    return patterns / (time.perf_counter() - begun)


def _nothing() -> None:
    return None


if __name__ == "__main__":
    main()
