"""Sums of profiles by tiles beside a plain sum in double precision."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks._former_trainer import FormerAlphaDiffract, former_sum
from tests.trainer import datasets
from trainer.models.alphadiffract import AlphaDiffract
from trainer.simulate import profile_sum
from trainer.simulate.parameters import Instrument
from trainer.simulate.profile_sum import Peaks, sum_profiles

INSTRUMENT = Instrument((0.62,), 0.002, 5.0, 20.0, 1000)
"""Its points are no multiple of a tile."""
COMPILER = shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))


def made_peaks(counts: list[int], seed: int, widest_deg: float = 0.3) -> Peaks:
    """Return peaks at made-up places, also outside of the range, with ranges of all sizes, some of them empty."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    centre = rng.uniform(4.0, 21.0, n)
    place = (centre - INSTRUMENT.two_theta_min_deg) / INSTRUMENT.step_deg
    first = np.ceil(place - rng.exponential(200.0, n))
    columns = (
        *(centre, np.exp(rng.uniform(math.log(0.003), math.log(widest_deg), n))),
        *(rng.random(n), rng.random(n) ** 4, first, first + np.ceil(rng.exponential(400.0, n) - 10.0)),
    )
    pattern = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Peaks(*(torch.tensor(column) for column in columns), pattern=pattern)


def plain_sum(peaks: Peaks, n_patterns: int) -> NDArray[np.float64]:
    grid = np.arange(INSTRUMENT.n_points)
    angle = INSTRUMENT.two_theta_min_deg + INSTRUMENT.step_deg * grid
    out = np.zeros((n_patterns, len(grid)))
    names = ("centre", "fwhm", "eta", "intensity", "first", "last", "pattern")
    for centre, fwhm, eta, area, first, last, pattern in zip(*(getattr(peaks, n).tolist() for n in names), strict=True):
        x2 = ((angle - centre) / fwhm) ** 2
        gaussian = 2 * math.sqrt(math.log(2) / math.pi) * np.exp(-4 * math.log(2) * x2)
        shape = eta * 2 / math.pi / (1 + 4 * x2) + (1 - eta) * gaussian
        out[pattern] += np.where((grid >= first) & (grid < last), area / fwhm * shape, 0)
    return out


def error(found: torch.Tensor, expected: NDArray[np.float64]) -> float:
    return float(np.abs(found.numpy() - expected).max() / max(expected.max(), 1e-300))


@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_tiles_sum_to_the_plain_sum(counts: list[int], seed: int) -> None:
    peaks = made_peaks(counts, seed)
    found = sum_profiles(peaks, len(counts), INSTRUMENT)
    assert found.shape == (len(counts), INSTRUMENT.n_points)
    assert error(found, plain_sum(peaks, len(counts))) < 5e-6


def test_patterns_do_not_depend_on_how_many_are_summed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [3, 0, 200, 1, 40, 0]
    peaks = made_peaks(counts, 5)
    together = sum_profiles(peaks, len(counts), INSTRUMENT)
    monkeypatch.setattr(profile_sum, "MOST_ROWS", 2000)
    monkeypatch.setattr(profile_sum, "CHUNK_POINTS_CPU", 10_000)
    assert error(sum_profiles(peaks, len(counts), INSTRUMENT), together.double().numpy()) < 1e-6


def test_the_former_algorithm_of_the_benchmark_sums_the_same() -> None:
    peaks = made_peaks([5, 40], 2)
    assert error(former_sum(peaks, 2, INSTRUMENT), plain_sum(peaks, 2)) < 5e-6


@torch.no_grad()
def test_the_former_network_of_the_benchmark_predicts_the_same() -> None:
    network = AlphaDiffract().eval()
    pattern = 100 * torch.rand(2, 8192)
    for today, former in zip(network(pattern), FormerAlphaDiffract(network)(pattern), strict=True):
        torch.testing.assert_close(today, former, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_the_compiled_kernel_sums_the_same() -> None:
    for seed, counts in enumerate(([5, 0, 120], [1], [30, 30])):
        peaks = made_peaks(counts, seed)
        assert error(sum_profiles(peaks, len(counts), INSTRUMENT, compiled=True), plain_sum(peaks, len(counts))) < 5e-6


def test_compile_without_a_compiler_is_one_sentence(tmp_path: Path) -> None:
    dataset = tmp_path / "d.zarr"
    datasets.make(dataset, train=4, validation=2, test=2)
    command = [sys.executable, "-m", "trainer", "fit", "alphadiffract", str(dataset), "--out", str(tmp_path / "run")]
    ended = subprocess.run(
        [
            *command,
            "--compile",
            "--input",
            "sticks",
            "--epochs",
            "1",
            "--batch-size",
            "4",
            "--set",
            "model.input_points=2000",
            "--device",
            "cpu",
        ],
        env={**os.environ, "CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "needs a C++ compiler" in ended.stderr
    assert "Traceback" not in ended.stderr
