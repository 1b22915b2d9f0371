"""Cells that differ from pattern to pattern in what their symmetry leaves free, for crystals as `FlatSticks`."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.simulate.flat_sticks import FlatSticks
from trainer.simulate.strained import VOIGT, cells_of, symmetric

SMALLEST = 1e-4
"""Of a drawn tensor, whose components are of the order of 1: what is left of those of a cubic cell is rounding."""


def draw_metrics(sticks: FlatSticks, structures: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Return reciprocal metrics (pattern, 3, 3) of strained cells of the same volume.

    The strain is what the symmetry keeps of a random tensor. No spacing changes by more than `largest`, as a ratio, and
    most change by much less.
    """
    n, device = len(structures), generator.device
    metric = sticks.reciprocal_metric[structures].double()
    frame = torch.linalg.cholesky(metric)
    drawn = torch.randn(n, 6, generator=generator, device=device).double()
    change = frame @ symmetric(drawn) @ frame.mT
    parts = torch.stack([change[:, i, j] for i, j in VOIGT], dim=1)
    change = symmetric((sticks.allowed[structures].double() @ parts[:, :, None])[:, :, 0])
    trace = (torch.linalg.inv(metric) * change).sum(dim=(1, 2))
    change = change - metric * (trace / 3)[:, None, None]
    inverse = torch.linalg.inv(frame)
    norm = torch.linalg.matrix_norm(inverse @ change @ inverse.mT)
    size = largest * torch.rand(n, generator=generator, device=device).square()
    factor = torch.where(norm > SMALLEST, size / norm.clamp(min=SMALLEST), 0.0)
    found: Tensor = metric + 2 * factor[:, None, None] * change
    return found


def stretch(sticks: FlatSticks, structures: Tensor, owner: Tensor, at: Tensor, metric: Tensor) -> Tensor:
    """Return q of reflections `at` in the strained cells over that in the crystal's; pattern `owner` has each.

    It is that of the first member, also where two families have one spacing.
    """
    hkl = sticks.member_hkl[sticks.member_first[at]].float()
    products = hkl[:, [i for i, _ in VOIGT]] * hkl[:, [j for _, j in VOIGT]]
    squares = []
    for each in (sticks.reciprocal_metric[structures], metric.float()):
        parts = torch.stack([each[:, i, j] * (1 if i == j else 2) for i, j in VOIGT], dim=1)
        squares.append((products * parts[owner]).sum(dim=1))
    return (squares[1] / squares[0]).sqrt()


def cell_change(sticks: FlatSticks, structures: Tensor, scale: Tensor, metric: Tensor | None) -> Tensor:
    """Return logarithms of the ratios of a, b, c, and differences of the angles in degrees (pattern, 6)."""
    change = torch.zeros(len(structures), 6, device=scale.device)
    if metric is not None:
        metrics = sticks.reciprocal_metric[structures].double(), metric
        before, after = (cells_of(torch.linalg.inv(each)) for each in metrics)
        change = torch.cat([(after / before)[:, :3].log(), (after - before)[:, 3:]], dim=1).float()
    change[:, :3] += scale.log()[:, None]
    return change
