"""Noise of the papers, drawn on the device for each sample."""

from __future__ import annotations

import torch
from torch import Tensor

LAMBDA_MAX_RANGE = (1.0, 100.0)
SIGMA_REL_RANGE = (1e-3, 1e-1)
XRD_SHIFT_BINS = 3  # less than 0.6 deg; a bin is 180/1024 deg
CRYSTALNET_SIGMA = 1e-3


def add_noise(
    pattern: Tensor,
    generator: torch.Generator | None = None,
    lambda_max: Tensor | None = None,
    sigma_rel: Tensor | None = None,
) -> Tensor:
    """Add counting noise, then Gaussian noise, within the range of each pattern (AlphaDiffract, eqs. 1-3).

    Patterns are (batch, two_theta); `lambda_max` and `sigma_rel` (batch) are drawn uniformly from the ranges of the
    paper unless given.
    """
    batch = pattern.shape[0]
    lam = _uniform(batch, LAMBDA_MAX_RANGE, pattern, generator) if lambda_max is None else lambda_max[:, None]
    sigma = _uniform(batch, SIGMA_REL_RANGE, pattern, generator) if sigma_rel is None else sigma_rel[:, None]
    highest = pattern.amax(dim=1, keepdim=True)
    counts = torch.poisson(lam * pattern.clamp_min(0.0) / highest, generator=generator)
    poisson = highest / lam * counts
    low, high = poisson.amin(dim=1, keepdim=True), poisson.amax(dim=1, keepdim=True)
    # At lambda_max near 1 all counts may be zero; the Gaussian noise then scales with the original maximum.
    span = torch.where(high > low, high - low, highest)
    normal = torch.randn(pattern.shape, dtype=pattern.dtype, device=pattern.device, generator=generator)
    gauss = (poisson - low) / span + sigma * normal
    return _to_unit_range(gauss) * span + low


def standardise(pattern: Tensor) -> Tensor:
    """Scale each pattern (batch, two_theta) to 0..100, the input of the network."""
    return 100.0 * _to_unit_range(pattern)


def perturb_sticks(
    sticks: Tensor, generator: torch.Generator | None = None, shift_bins: int = XRD_SHIFT_BINS
) -> Tensor:
    """Augment stick vectors (batch, bin) as CrystalNet: a shift of whole bins, N(0, 0.001^2), ReLU."""
    batch, bins = sticks.shape
    shift = torch.randint(-shift_bins, shift_bins + 1, (batch, 1), device=sticks.device, generator=generator)
    source = torch.arange(bins, device=sticks.device)[None] - shift
    inside = (source >= 0) & (source < bins)
    shifted = sticks.gather(1, source.clamp(0, bins - 1)) * inside
    return perturb(shifted, generator)


def perturb(values: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Add N(0, 0.001^2), then apply ReLU."""
    noise = torch.randn(values.shape, dtype=values.dtype, device=values.device, generator=generator)
    return torch.relu(values + CRYSTALNET_SIGMA * noise)


def ablate_composition(composition: Tensor, kind: str, generator: torch.Generator | None = None) -> Tensor:
    """Reduce the composition (batch, 118) to ratios, elements, all elements but one, or nothing.

    Elements are marked by ones; a single element is never dropped (CrystalNet, "Data Ablation").
    """
    if kind == "ratios":
        return composition
    if kind == "none":
        return torch.zeros_like(composition)
    present = composition > 0
    if kind == "drop-one":
        draw = torch.rand(composition.shape, device=composition.device, generator=generator)
        victim = torch.where(present, draw, -1.0).argmax(dim=1, keepdim=True)
        several = present.sum(dim=1, keepdim=True) > 1
        present = present & ~(torch.zeros_like(present).scatter(1, victim, True) & several)
    elif kind != "elements":
        raise ValueError(f"unknown kind of composition: {kind!r}")
    return present.to(composition.dtype)


def _uniform(batch: int, bounds: tuple[float, float], like: Tensor, generator: torch.Generator | None) -> Tensor:
    draw = torch.rand(batch, 1, dtype=like.dtype, device=like.device, generator=generator)
    return bounds[0] + (bounds[1] - bounds[0]) * draw


def _to_unit_range(pattern: Tensor) -> Tensor:
    low = pattern.amin(dim=1, keepdim=True)
    span = pattern.amax(dim=1, keepdim=True) - low
    return (pattern - low) / torch.where(span > 0, span, torch.ones_like(span))
