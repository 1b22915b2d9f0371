"""Exponential average of a network's weights, which validation, `best.pt` and predictions use."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """A copy of a network whose weights follow those of training."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the weights after a step, faster in the first steps, when they are far from any average."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), weight)
        for mine, current in zip(self.module.buffers(), module.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(current, weight)
            else:
                mine.copy_(current)
