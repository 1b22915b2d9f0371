"""The learning rate at hand-computed times, and beside torch's own schedulers."""

from __future__ import annotations

import pytest
import torch

from trainer.training.schedules import Cosine, Cyclic, WarmRestarts

EPOCHS = 60
"""Of the run; these schedules do not depend on it."""


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 0.1), (3, 0.55), (6, 1.0), (9, 0.55), (12, 0.1), (18, 0.55), (24, 0.1), (30, 0.325), (36, 0.1)],
)
def test_the_cycle_rises_six_epochs_falls_six_and_halves(epoch: float, factor: float) -> None:
    assert Cyclic().factor(epoch, EPOCHS) == pytest.approx(factor)


def test_the_cycle_is_torchs_triangular2() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CyclicLR(
        optimiser, base_lr=0.1, max_lr=1.0, step_size_up=6, mode="triangular2", cycle_momentum=False
    )
    for epoch in range(40):
        assert Cyclic().factor(epoch, EPOCHS) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 1e-3), (50, (1e-3 + 1e-6) / 2), (100, 1e-3), (200, (1e-3 + 1e-6) / 2), (300, 1e-3), (700, 1e-3)],
)
def test_restarts_come_after_100_200_and_400_epochs(epoch: float, rate: float) -> None:
    assert 1e-3 * WarmRestarts().factor(epoch, EPOCHS) == pytest.approx(rate)


def test_the_rate_nearly_reaches_its_floor_before_a_restart() -> None:
    assert 1e-3 * WarmRestarts().factor(299.999, EPOCHS) == pytest.approx(1e-6, rel=1e-3)


def test_restarts_are_torchs_cosine_annealing_warm_restarts() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=100, T_mult=2, eta_min=1e-6)
    for epoch in range(400):
        assert 1e-3 * WarmRestarts().factor(epoch, EPOCHS) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()


@pytest.mark.parametrize(("epoch", "factor"), [(0, 0.01), (1, 0.5), (2, 1.0), (11, 0.505), (20, 0.01), (25, 0.01)])
def test_the_cosine_rises_over_its_share_of_the_run_and_ends_with_it(epoch: float, factor: float) -> None:
    assert Cosine(warm_up=0.1, floor=0.01).factor(epoch, 20) == pytest.approx(factor)
