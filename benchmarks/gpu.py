"""What a GPU does: equality with the CPU, patterns per second of every variant, and QMixer trained by the clock.

    python -m benchmarks.gpu [--structures FILE.npz] [--seconds 2] [--train-minutes 0] [--out FOLDER]

Needs torch and `trainer/`, not `datagen`; FILE.npz is made by `trainer pack`, and small made-up structures are used
without it. A line for every figure as it is found, so that an interrupted run leaves what it had; a variant that fails
says why and the others follow. The last line is one JSON object. `docs/gpu.json` keeps such a run.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffract
from trainer.models.crystalnet import CrystalNet
from trainer.models.qmixer import QMixer
from trainer.prediction.qmixer import export_weights
from trainer.simulate.artefacts import Artefacts, Simulator, draw_peaks
from trainer.simulate.axis import N_BINS
from trainer.simulate.broaden import Sticks, broaden
from trainer.simulate.flat_sticks import FlatSticks
from trainer.simulate.log_q import network_input
from trainer.simulate.noise import add_noise, standardise
from trainer.simulate.parameters import Augmentation, Instrument, Parameters, draw_parameters
from trainer.simulate.points import stratified_points
from trainer.training.fit_qmixer import LAST, QMixerTraining, batches, begin, draw, fit_on, train_step
from trainer.training.gemd import hop_matrix
from trainer.training.losses import alphadiffract_loss, crystalnet_loss
from trainer.training.packed import unpack
from trainer.training.precision import has_bfloat16
from trainer.training.structures import Structures, refuse_truncated

INSTRUMENT = Instrument((0.619921,), 0.002, 5.0, 20.0, 8192)
AUGMENTATION = Augmentation(
    {"microstrain": (500.0, 10_000.0), "crystallite_size_um": (0.1, 1.0), "W_cdeg2": (0.0, 4.0)}
)


class Sizes(NamedTuple):
    """Of what is measured for AlphaDiffract."""

    reflections: tuple[int, ...]
    patterns: int
    """Broadened together."""
    batches: tuple[int, ...]


FULL, QUICK = Sizes((17, 100, 1000), 64, (64, 512)), Sizes((17,), 2, (2,))


@dataclass
class Report:
    """Figures found, printed and saved one by one."""

    out: Path | None
    began: float = field(default_factory=time.monotonic)
    found: dict[str, Any] = field(default_factory=dict)

    def attempt(self, name: str, measure: Callable[[], Any]) -> None:
        """Add a figure, or the sentence of what went wrong."""
        try:
            self.found[name] = measure()
        except (RuntimeError, ValueError, TypeError, TrainerError) as error:
            self.found[name] = f"failed: {type(error).__name__}: {str(error)[:200]}"
        print(f"{time.monotonic() - self.began:6.1f} s  {name}: {self.found[name]}", flush=True)
        if self.out is not None:
            (self.out / "gpu.json").write_text(json.dumps(self.found, indent=1) + "\n")


@dataclass(frozen=True)
class Clock:
    """Rates on a device; the device is waited for at the end, as in training."""

    device: torch.device
    seconds: float

    @property
    def compiled(self) -> tuple[bool, ...]:
        """Whether networks are compiled; on a CPU that takes longer than a benchmark."""
        return (False,) if self.device.type == "cpu" else (False, True)

    def wait(self) -> None:
        """Wait until the device has finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def per_second(self, once: Callable[[], Any], items: int) -> float:
        """Return items per second."""
        for _ in range(2):
            once()
        self.wait()
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < self.seconds or calls < 2:
            once()
            calls += 1
            if calls % 10 == 0:
                self.wait()
        self.wait()
        return float(f"{items * calls / (time.perf_counter() - began):.4g}")

    def milliseconds(self, once: Callable[[], Any]) -> float:
        """Return the median time of a call whose result is waited for."""
        times = []
        began = time.perf_counter()
        while time.perf_counter() - began < self.seconds or len(times) < 10:
            before = time.perf_counter()
            once()
            self.wait()
            times.append(1e3 * (time.perf_counter() - before))
        return float(f"{statistics.median(times[3:]):.3g}")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, then train for what is asked."""
    options = argparse.ArgumentParser(description="What does a GPU do?")
    options.add_argument("--structures", type=Path)
    options.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    options.add_argument("--batches", type=int, nargs="+", default=[512, 2048, 4096])
    options.add_argument("--quick", action="store_true", help="small sizes, to try this program on a CPU")
    options.add_argument("--train-minutes", type=float, default=0.0)
    options.add_argument("--train-set", type=json.loads, default={}, help="settings of training, a JSON object")
    options.add_argument("--model-set", type=json.loads, default={}, help="sizes of the network, a JSON object")
    options.add_argument("--only-train", action="store_true")
    options.add_argument("--out", type=Path)
    given = options.parse_args(arguments)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    report = Report(given.out)
    report.attempt("device", lambda: torch.cuda.get_device_name() if device.type == "cuda" else "cpu")
    report.attempt("torch", lambda: str(torch.__version__))
    train, validation = unpack(given.structures) if given.structures else (made_up(200, 0), made_up(40, 1))
    refuse_truncated(given.structures, float(train.d_min_A.max()), Artefacts())
    report.attempt("structures", lambda: [len(train), int(train.generated.sum()), len(validation)])
    clock = Clock(device, given.seconds)
    training = QMixerTraining(patterns=1)
    training = replace(training, model=replace(training.model, **given.model_set), **given.train_set)
    if not given.only_train:
        compare(report, device, train)
        measure_qmixer(report, clock, train, training, [4] if given.quick else given.batches)
        measure_alphadiffract(report, clock, QUICK if given.quick else FULL)
        measure_crystalnet(report, clock, crystals=4 if given.quick else 128)
    if given.train_minutes > 0:
        config = replace(training, patterns=None, minutes=given.train_minutes)
        report.attempt("training", lambda: trained(config, train, validation, given.out, device))
    print(json.dumps(report.found))
    return report.found


def compare(report: Report, device: torch.device, structures: Structures) -> None:
    """Differences between this device and the CPU, relative to the maximum."""
    cpu = torch.device("cpu")
    sticks, parameters = broadening_case(4, 100, cpu)
    there, elsewhere = broadening_case(4, 100, device)
    plain = broaden(sticks, parameters, INSTRUMENT)
    report.attempt("broadening_difference", lambda: relative(broaden(there, elsewhere, INSTRUMENT), plain))

    numbers = torch.randint(len(structures), (16,))
    peaks = Simulator(structures.sticks).peaks(numbers, torch.Generator().manual_seed(0))
    drawn = draw_peaks(peaks, 16)
    report.attempt("drawing_difference", lambda: relative(draw_peaks(peaks.to(device), 16), drawn))
    noisy = torch.poisson(300 * drawn / drawn.amax(dim=1, keepdim=True), generator=torch.Generator().manual_seed(0))
    measured = torch.ones_like(noisy, dtype=torch.bool)
    inputs = network_input(noisy, measured)
    there_inputs = network_input(noisy.to(device), measured.to(device))
    report.attempt("input_difference", lambda: relative(there_inputs, inputs))

    model = QMixer().eval()
    with torch.no_grad():
        expected = model(inputs).space_group
        model = model.to(device)
        report.attempt("qmixer_difference", lambda: relative(model(inputs.to(device)).space_group, expected))
        with torch.autocast(device.type, torch.bfloat16):
            report.attempt("qmixer_bf16_difference", lambda: relative(model(inputs.to(device)).space_group, expected))
        network, patterns = AlphaDiffract().eval(), 100 * torch.rand(4, 8192) ** 6
        known = network(patterns).space_group
        network = network.to(device)
        report.attempt("alphadiffract_difference", lambda: relative(network(patterns.to(device)).space_group, known))
    flat = torch.full((4000, 64), 0.5, device=device)
    flat[:, 0], flat[:, 1] = 0.0, 1.0
    generator = torch.Generator(device).manual_seed(1)
    lam, sigma = torch.full((4000,), 50.0, device=device), torch.zeros(4000, device=device)
    counts = add_noise(flat, generator, lam, sigma)[:, 2:]
    report.attempt("poisson_variance_over_mean", lambda: round(float(counts.var() * 50 / counts.mean()), 3))


def measure_qmixer(
    report: Report, clock: Clock, structures: Structures, training: QMixerTraining, sizes: list[int]
) -> None:
    """Patterns per second of QMixer: drawing, the network, and both; latency."""
    here = structures.to(clock.device)
    for size in sizes:
        config = replace(training, patterns=1 << 40, batch=size)
        generator = torch.Generator(clock.device).manual_seed(0)
        numbers = torch.randint(len(here), (size,), device=clock.device)
        report.attempt(
            f"qmixer_drawing_{size}", lambda n=numbers, g=generator: clock.per_second(lambda: draw(here, n, g), len(n))
        )
        for compiled in clock.compiled:
            state = begin(replace(config, compile=compiled), structures, clock.device)
            inputs, labels = draw(here, numbers, generator)
            name = "compiled" if compiled else "eager"
            report.attempt(
                f"qmixer_step_{name}_{size}",
                lambda s=state, i=inputs, b=labels: clock.per_second(lambda: train_step(s, i, b), len(i)),
            )
            stream = batches(config, here, 0, 1)
            report.attempt(
                f"qmixer_training_{name}_{size}",
                lambda s=state, b=stream, n=size: clock.per_second(lambda: train_step(s, *next(b)), n),
            )
            stream.close()
    model = QMixer(training.model).to(clock.device).eval()
    one = torch.rand(1, 2, N_BINS)
    with torch.no_grad():
        report.attempt(
            "qmixer_latency_ms", lambda: clock.milliseconds(lambda: model(one.to(clock.device)).space_group.cpu())
        )


def measure_alphadiffract(report: Report, clock: Clock, sizes: Sizes) -> None:
    """Patterns per second of AlphaDiffract at full size: broadening, a step in every variant; latency."""
    for count in sizes.reflections:
        sticks, parameters = broadening_case(sizes.patterns, count, clock.device)
        report.attempt(
            f"broadening_{count}_reflections",
            lambda s=sticks, p=parameters: clock.per_second(lambda: broaden(s, p, INSTRUMENT), sizes.patterns),
        )
    for size in sizes.batches:
        variants = [("fp32", False, False), ("bf16", True, False), ("bf16_compiled", True, True)]
        # A processor without instructions for bfloat16 takes minutes for a step.
        for name, bf16, compiled in variants[: 1 + len(clock.compiled) if has_bfloat16(clock.device) else 1]:
            step = alphadiffract_step(clock.device, size, bf16=bf16, compiled=compiled)
            report.attempt(f"alphadiffract_step_{name}_{size}", lambda s=step, n=size: clock.per_second(s, n))
    network = AlphaDiffract().to(clock.device).eval()
    one = 100 * torch.rand(1, 8192)
    with torch.no_grad():
        report.attempt(
            "alphadiffract_latency_ms",
            lambda: clock.milliseconds(lambda: network(one.to(clock.device)).space_group.cpu()),
        )


def alphadiffract_step(device: torch.device, size: int, *, bf16: bool, compiled: bool) -> Callable[[], None]:
    """Return a training step on made-up patterns with the paper's noise and loss."""
    module: nn.Module = AlphaDiffract().to(device)
    optimiser = torch.optim.AdamW(module.parameters(), lr=2e-4, fused=True)
    network = torch.compile(module) if compiled else module
    hops = torch.tensor(hop_matrix(), dtype=torch.float32, device=device)
    patterns = 100 * torch.rand(size, 8192, device=device) ** 6
    system, group = torch.randint(7, (size,), device=device), torch.randint(230, (size,), device=device)
    lattice = 5 + 80 * torch.rand(size, 6, device=device)

    def step() -> None:
        inputs = standardise(add_noise(patterns))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            predicted = network(inputs)
        alphadiffract_loss(predicted, system, group, lattice, hops).total.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def measure_crystalnet(report: Report, clock: Clock, crystals: int = 128, divisions: int = 10) -> None:
    """Crystals per second of CrystalNet, a thousand points each."""
    device = clock.device
    module = CrystalNet().to(device)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    pattern, composition = torch.rand(crystals, 1024, device=device) ** 8, torch.rand(crystals, 118, device=device)
    truth = torch.rand(crystals, divisions**3, device=device)
    for name, bf16 in (("fp32", False), ("bf16", True))[: 1 + has_bfloat16(device)]:

        def step(bf16: bool = bf16) -> None:
            position = stratified_points(crystals, divisions, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                density, encoding = module(pattern, composition, position)
            crystalnet_loss(density, truth, encoding).total.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        report.attempt(f"crystalnet_step_{name}", lambda s=step: clock.per_second(s, crystals))


def trained(
    config: QMixerTraining, train: Structures, validation: Structures, out: Path | None, device: torch.device
) -> dict[str, Any]:
    """Train QMixer by the clock and export its weights; return the last line of its log."""
    last: list[dict[str, Any]] = []

    def report(values: dict[str, Any]) -> None:
        last.append(values)
        print(json.dumps(values), flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fit_on(config, train, validation, folder, device=device, report=report)
        if out is not None:
            export_weights(folder / LAST, out / "qmixer.safetensors", {"structures": len(train)})
            (out / "log.jsonl").write_text((folder / "log.jsonl").read_text())
    return last[-1]


def broadening_case(patterns: int, reflections: int, device: torch.device) -> tuple[Sticks, Parameters]:
    """Return reflections at made-up places and parameters for each pattern."""
    generator = torch.Generator().manual_seed(reflections)
    angle = 5 + 15 * torch.rand(patterns * reflections, generator=generator, dtype=torch.float64)
    sticks = Sticks(
        angle,
        torch.rand(len(angle), generator=generator, dtype=torch.float64),
        torch.zeros(len(angle), dtype=torch.long),
        torch.arange(patterns).repeat_interleave(reflections),
        patterns,
    )
    drawn = draw_parameters(AUGMENTATION, patterns, torch.device("cpu"), generator)
    there = {f.name: getattr(drawn, f.name).to(device) for f in fields(Parameters)}
    return sticks.each(lambda x: x.to(device)), Parameters(**there)


def made_up(count: int, seed: int) -> Structures:
    """Return crystals with made-up cells and intensities, without symmetry."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.cartesian_prod(*[torch.arange(-3, 4)] * 3)
    hkl = h[(h * torch.tensor([49, 7, 1])).sum(dim=1) > 0]
    length = 4 + 4 * torch.rand(count, 3, generator=generator)
    metric = torch.diag_embed(length.pow(-2))
    q = 2 * math.pi * torch.einsum("ri,nij,rj->nr", hkl.float(), metric, hkl.float()).sqrt()
    order = q.argsort(dim=1)
    n = len(hkl)
    sticks = FlatSticks(
        torch.arange(0, count * n + 1, n),
        q.gather(1, order).flatten(),
        torch.rand(count * n, generator=generator) ** 4,
        torch.arange(count * n + 1),
        hkl[order].reshape(-1, 3).short(),
        torch.ones(count * n),
        metric,
        torch.eye(6).expand(count, 6, 6).contiguous(),
    )
    lattice = torch.cat([length.sort(dim=1).values.log(), torch.zeros(count, 3)], dim=1)
    group = torch.randint(230, (count,), generator=generator)
    none = torch.zeros(count)
    return Structures(sticks, group, lattice, none.bool(), none.long(), none)


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest value."""
    return float(f"{float((found.cpu() - expected).abs().max() / expected.abs().max()):.2e}")


if __name__ == "__main__":
    main()
