"""Sampling points of a density."""

from __future__ import annotations

import numpy as np
import torch

from trainer.simulate.points import density_at, grid_positions, stratified_points


def test_every_box_of_the_division_gets_one_uniform_draw() -> None:
    points = stratified_points(300, 4, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert points.shape == (300, 64, 3)
    boxes = (points * 4).long()
    flat = (boxes[..., 0] * 4 + boxes[..., 1]) * 4 + boxes[..., 2]
    assert torch.equal(flat, torch.arange(64).expand(300, 64))
    within = (points * 4) % 1
    assert abs(within.mean() - 0.5) < 0.01
    assert abs(within.var() - 1 / 12) < 0.003


def test_density_is_that_of_the_grid_point_beneath_whose_position_is_returned() -> None:
    rng = np.random.default_rng(0)
    density = rng.random((2, 50, 50, 50))
    points = rng.random((2, 100, 3))
    found, exact = density_at(torch.tensor(density), torch.tensor(points))
    for c in range(2):
        for k in range(100):
            i = np.floor(points[c, k] * 50).astype(int)
            assert found[c, k] == density[c, *i]
            np.testing.assert_allclose(exact[c, k], i / 50)


def test_the_grid_in_order_returns_the_density_itself() -> None:
    density = torch.rand(1, 6, 6, 6)
    position = grid_positions(6, torch.device("cpu"))
    found, exact = density_at(density, position[None] + 1e-4)
    assert torch.equal(found.view_as(density), density)
    assert torch.allclose(exact[0], position)
