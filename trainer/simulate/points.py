"""Positions in the unit cell at which densities are compared."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified_points(
    crystals: int, divisions: int, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Draw fractional positions (crystal, divisions^3, 3), one in each of divisions^3 equal boxes."""
    step = torch.arange(divisions, device=device, dtype=torch.float32)
    corner = torch.stack(torch.meshgrid(step, step, step, indexing="ij"), dim=-1).reshape(1, -1, 3)
    draw = torch.rand(crystals, divisions**3, 3, device=device, generator=generator)
    return (corner + draw) / divisions


def density_at(density: Tensor, position: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the density (crystal, n, n, n) at the grid point below each position, and the position of that point.

    As in CrystalNet's code, grid index floor(n x) and position index / n, without interpolation. `place` names the
    crystals among the densities, by default the first, the second and so on.
    """
    n = density.shape[1]
    index = (position * n).long().clamp_(0, n - 1)
    flat = (index[..., 0] * n + index[..., 1]) * n + index[..., 2]
    if place is None:
        place = torch.arange(len(density), device=density.device)
    return density.take(place[:, None] * n**3 + flat), index.to(position.dtype) / n


def grid_positions(n: int, device: torch.device) -> Tensor:
    """Return the fractional positions (n^3, 3) of all grid points, the last axis fastest."""
    step = torch.arange(n, device=device, dtype=torch.float32) / n
    return torch.stack(torch.meshgrid(step, step, step, indexing="ij"), dim=-1).reshape(-1, 3)
