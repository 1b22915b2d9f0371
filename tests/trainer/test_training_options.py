"""Budgets, averaged weights, clipped gradients, sampled classes: what each does, and that a resume changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer import small
from tests.trainer.test_fit import StopAt, same, weights
from trainer.data.sampler import balancing_weights
from trainer.data.store import open_dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import load_models
from trainer.training import checkpoint
from trainer.training.average import WeightAverage
from trainer.training.class_prior import logit_adjustments
from trainer.training.fit import fit
from trainer.training.schedules import Cosine, Cyclic
from trainer.training.state import BEST, LAST, build_optimiser

CPU = torch.device("cpu")
ONE_PATTERN = replace(small.ALPHADIFFRACT, samples_per_structure=1, deterministic=True, batch_size=8)
"""Four steps an epoch."""


class Clock:
    """A clock that advances by a second with each step."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Ticking(StopAt):
    """A reporter that moves a clock, and stops the run at a step."""

    def __init__(self, clock: Clock, step: int = 0) -> None:
        super().__init__(step)
        self.clock = clock

    def advance(self, *_: object) -> None:
        self.clock.seconds += 1.0
        super().advance()


MODES: dict[str, dict[str, Any]] = {
    "patterns": {"patterns": 56, "schedule": Cosine(warm_up=0.3), "ema": 0.9, "gradient_norm": 0.5},
    "minutes": {"minutes": 7 / 60, "schedule": Cyclic(half_cycle_epochs=1), "epochs": 3, "save_minutes": 1.0},
    "classes": {
        "balance": "space-group",
        "balance_power": 0.5,
        "adjust_logits": True,
        "label_smoothing": 0.1,
        "ema": 0.99,
    },
}


@pytest.mark.parametrize("mode", MODES)
def test_stopped_and_resumed_training_ends_with_the_same_weights(
    mode: str, patterns_dataset: Path, tmp_path: Path
) -> None:
    config = replace(ONE_PATTERN, **MODES[mode])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    steps = 8 if mode == "classes" else 7
    for out, stop in ((whole, 0), (parts, 3)):
        clock = Clock()
        found = fit(config, patterns_dataset, out, device="cpu", reporter=Ticking(clock, stop), now=clock)
        assert (found.finished, found.progress.step) == ((True, steps) if out is whole else (False, 3))
    clock = Clock()
    clock.seconds = 5.0
    resumed = fit(config, patterns_dataset, parts, device="cpu", resume=True, reporter=Ticking(clock), now=clock)
    assert (resumed.finished, resumed.progress.step) == (True, steps)
    assert same(weights(whole), weights(parts))
    a, b = checkpoint.load(whole / LAST), checkpoint.load(parts / LAST)
    assert same(a.average, b.average)
    assert bool(a.average) == (config.ema > 0)
    assert a.progress == b.progress
    assert same(checkpoint.load(whole / BEST).model, checkpoint.load(parts / BEST).model)


def test_a_budget_ends_within_an_epoch_with_a_validation_and_can_be_raised(
    patterns_dataset: Path, tmp_path: Path
) -> None:
    config = replace(ONE_PATTERN, patterns=40)
    found = fit(config, patterns_dataset, tmp_path, device="cpu")
    assert found.finished
    assert (found.progress.epoch, found.progress.batch, found.progress.patterns) == (1, 1, 40)
    assert "validation_loss" in found.values
    assert (tmp_path / BEST).exists()
    raised = fit(replace(config, patterns=64), patterns_dataset, tmp_path, device="cpu", resume=True)
    assert (raised.progress.step, raised.progress.patterns, raised.progress.epoch) == (8, 64, 2)
    again = fit(replace(config, patterns=64), patterns_dataset, tmp_path, device="cpu", resume=True)
    assert (again.finished, again.progress.step) == (True, 8)


class CrashError(Exception):
    """An end that saves nothing."""


def test_checkpoints_follow_the_clock(patterns_dataset: Path, tmp_path: Path) -> None:
    clock = Clock()

    class Crashing(Ticking):
        def advance(self, *_: object) -> None:
            super().advance()
            if clock.seconds == 1008.0:
                raise CrashError

    config = replace(ONE_PATTERN, epochs=3, save_minutes=3 / 60, save_every_steps=1)
    with pytest.raises(CrashError):
        fit(config, patterns_dataset, tmp_path, device="cpu", reporter=Crashing(clock), now=clock)
    kept = checkpoint.load(tmp_path / LAST).progress
    assert (kept.step, kept.seconds) == (6, 6.0)  # every third second, whatever epochs and steps say


def test_the_average_follows_the_weights_and_is_what_predicts(patterns_dataset: Path, tmp_path: Path) -> None:
    module = torch.nn.BatchNorm1d(2)
    average = WeightAverage(module, 0.9)
    expected = module.weight.detach().double().clone()
    for step in range(20):
        with torch.no_grad():
            module.weight += torch.tensor([1.0, -0.5])
            module.num_batches_tracked += 1
        average.update(module, step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * module.weight.detach().double()
    torch.testing.assert_close(average.module.weight.double(), expected, rtol=1e-6, atol=1e-6)
    assert average.module.num_batches_tracked == 20

    fit(replace(ONE_PATTERN, ema=0.9), patterns_dataset, tmp_path, device="cpu")
    last, best = checkpoint.load(tmp_path / LAST), checkpoint.load(tmp_path / BEST)
    assert not same(last.model, last.average)
    (of_last, _), _ = load_models([tmp_path / LAST, tmp_path / BEST], CPU)
    assert same(dict(of_last.state_dict()), last.average)
    assert (best.optimiser, best.average) == ({}, {})


def test_a_limit_on_gradients_matters_only_where_it_is_reached(patterns_dataset: Path, tmp_path: Path) -> None:
    config = replace(ONE_PATTERN, epochs=1)
    for name, norm in (("off", 0.0), ("far", 1e12), ("near", 1e-6)):
        fit(replace(config, gradient_norm=norm), patterns_dataset, tmp_path / name, device="cpu")
    assert same(weights(tmp_path / "off"), weights(tmp_path / "far"))
    assert not same(weights(tmp_path / "off"), weights(tmp_path / "near"))


def test_the_optimiser_is_fused_where_the_device_has_it() -> None:
    for config in (small.ALPHADIFFRACT, small.CRYSTALNET):
        assert build_optimiser(torch.nn.Linear(2, 2), config).defaults["fused"]
        assert not build_optimiser(torch.nn.Linear(2, 2, device="meta"), config).defaults["fused"]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.floats(0, 1))
def test_classes_are_drawn_with_their_frequency_to_a_power(classes: list[int], power: float) -> None:
    weight = balancing_weights(np.array(classes), power)
    counts = np.bincount(classes)
    drawn = np.bincount(classes, weight)
    np.testing.assert_allclose(drawn[counts > 0], counts[counts > 0] ** power, rtol=1e-9)


@pytest.mark.parametrize("balance", ["crystal-system", "space-group"])
def test_adjusted_logits_are_those_of_the_natural_frequencies(balance: str, patterns_dataset: Path) -> None:
    """Where the network answers log(natural frequency), the cross entropy over drawn structures is at its minimum."""
    dataset = open_dataset(patterns_dataset)
    found = logit_adjustments(dataset, balance, 0.5, CPU)
    rows = dataset.rows("train")
    classes = {name: dataset.column(name)[rows].astype(np.int64) - 1 for name in ("crystal_system", "space_group")}
    weight = balancing_weights(classes[balance.replace("-", "_")], 0.5)
    for name, number in (("crystal_system", 7), ("space_group", 230)):
        natural = np.bincount(classes[name], minlength=number) / len(rows)
        drawn = np.bincount(classes[name], weight, minlength=number) / weight.sum()
        logits = torch.tensor(np.log(np.maximum(natural, 1e-30))) + getattr(found, name)
        np.testing.assert_allclose(logits.softmax(dim=0), drawn, atol=1e-6)
        assert (drawn != natural).any()


def test_a_resume_with_another_option_is_refused(patterns_dataset: Path, tmp_path: Path) -> None:
    fit(replace(ONE_PATTERN, epochs=1), patterns_dataset, tmp_path, device="cpu")
    for changed in ({"ema": 0.9}, {"gradient_norm": 1.0}, {"label_smoothing": 0.1}, {"schedule": Cosine()}):
        with pytest.raises(TrainerError, match=f"other values of {next(iter(changed))}"):
            fit(replace(ONE_PATTERN, **changed), patterns_dataset, tmp_path, device="cpu", resume=True)
