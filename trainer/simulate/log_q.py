"""The axis ln q, on which a pattern depends on neither wavelength nor instrument, and a change of scale is a shift.

Simulated and measured patterns take the same path: the intensity on a grid of Cu K-alpha1 angles, background removal by
SNIP, the average over bins of ln q, and the square root of the intensity relative to the maximum, beside a mask of the
bins that were measured.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.simulate.axis import CU_KALPHA1_A, N_BINS, Q_MAX, Q_MIN
from trainer.simulate.resample import average_onto, bragg, covered

TWO_THETA_MIN_DEG, STEP_DEG, N_ANGLES = 5.0, 0.025, 3401
"""The grid of angles: 5 to 90 degrees."""
SNIP_WINDOW_DEG = 1.5
"""Largest half window: features that are wider count as background (Ryan et al., Nucl. Instrum. Methods B 34, 396)."""
FEWEST_POINTS = 20
"""Of a scan within the grid."""
COUNTS_AT_MAXIMUM = 3000.0
"""Scale at which SNIP takes its square root; it weighs noise against weak peaks."""


def angles_deg() -> NDArray[np.float64]:
    """Return the grid of Cu K-alpha1 angles 2theta, degrees."""
    return np.asarray(TWO_THETA_MIN_DEG + STEP_DEG * np.arange(N_ANGLES), dtype=np.float64)


def scan_on_grid(
    two_theta_deg: NDArray[np.float64], intensity: NDArray[np.float64], wavelength_A: float
) -> tuple[Tensor, Tensor] | None:
    """Return a scan's intensities on the grid of angles and a mask of what it covers; None if it misses the grid.

    Angles are converted by Bragg's law; a finer scan is averaged over the steps of the grid, a coarser one
    interpolated.
    """
    order = np.argsort(two_theta_deg, kind="stable")
    angle = bragg(np.asarray(two_theta_deg, dtype=np.float64)[order], wavelength_A, CU_KALPHA1_A)
    values = np.asarray(intensity, dtype=np.float64)[order]
    usable = np.isfinite(values) & (angle > 0)
    angle, values = angle[usable], values[usable]
    grid = angles_deg()
    if np.count_nonzero((angle >= grid[0]) & (angle <= grid[-1])) < FEWEST_POINTS:
        return None
    measured = covered(grid, angle)
    found = average_onto(grid, angle, values)[0].clip(min=0)
    return torch.from_numpy(np.where(measured, found, 0.0)).float(), torch.from_numpy(measured)


def network_input(intensity: Tensor, measured: Tensor, window_deg: float = SNIP_WINDOW_DEG) -> Tensor:
    """Return what the network sees, (pattern, 2, bin), of patterns on the grid of angles (pattern, angle)."""
    scaled = torch.where(measured, intensity, 0.0)
    scaled = scaled * (COUNTS_AT_MAXIMUM / scaled.amax(dim=1, keepdim=True).clamp(min=1e-12))
    return to_log_q(remove_background(scaled, measured, window_deg), measured)


def remove_background(intensity: Tensor, measured: Tensor, window_deg: float = SNIP_WINDOW_DEG) -> Tensor:
    """Subtract the background that SNIP finds on the square root of the smoothed pattern."""
    smooth = _smoothed(intensity, measured)
    background = torch.where(measured, torch.sqrt(smooth.clamp(min=0) + 1.0), torch.inf)
    width = max(1, round(window_deg / STEP_DEG))
    while width > 0:
        mean = torch.full_like(background, torch.inf)
        mean[:, width:-width] = 0.5 * (background[:, : -2 * width] + background[:, 2 * width :])
        background = torch.minimum(background, mean)
        width = width - 1 if width < 5 else int(width * 0.82)
    return torch.where(measured, intensity - (background.square() - 1.0), 0.0)


def to_log_q(intensity: Tensor, measured: Tensor) -> Tensor:
    """Average over the bins of ln q; return square roots relative to the maximum, and the mask, (pattern, 2, bin)."""
    low, high, narrow = _bin_edges(intensity.device)
    filled = torch.where(measured, intensity, 0.0)
    zero = torch.zeros_like(filled[:, :1])
    total = torch.cat([zero, filled.double().cumsum(dim=1)], dim=1)
    covered = torch.cat([zero, measured.float().cumsum(dim=1)], dim=1)
    width = (high - low).float()
    average = ((_at(total, high) - _at(total, low)) / width).float()
    # Bins narrower than a grid step would show its steps: interpolate there.
    centre = (0.5 * (low + high) - 0.5).clamp(0, N_ANGLES - 1.001)
    left = centre.long()
    part = (centre - left).float()
    between = filled[:, left] * (1 - part) + filled[:, left + 1] * part
    value = torch.where(narrow, between, average).clamp(min=0)
    complete = (_at(covered, high) - _at(covered, low)) / width > 0.999
    value = torch.where(complete, value, 0.0)
    value = torch.sqrt(value / value.amax(dim=1, keepdim=True).clamp(min=1e-12))
    return torch.stack([value, complete.float()], dim=1)


def shifted(inputs: Tensor, bins: int) -> Tensor:
    """Return the patterns of a crystal that is exp(-bins LN_Q_STEP) times as large."""
    out = torch.zeros_like(inputs)
    if bins > 0:
        out[..., bins:] = inputs[..., :-bins]
    elif bins < 0:
        out[..., :bins] = inputs[..., -bins:]
    else:
        out.copy_(inputs)
    return out


def _smoothed(intensity: Tensor, measured: Tensor) -> Tensor:
    """Return the mean over five measured points."""
    pair = torch.stack([torch.where(measured, intensity, 0.0), measured.to(intensity.dtype)], dim=1)
    summed = torch.nn.functional.avg_pool1d(pair, 5, stride=1, padding=2, count_include_pad=True)
    return summed[:, 0] / summed[:, 1].clamp(min=1e-6)


def _at(total: Tensor, where: Tensor) -> Tensor:
    """Interpolate running sums at fractional positions."""
    left = where.long().clamp(0, total.shape[1] - 2)
    part = (where - left).to(total.dtype)
    return total[:, left] * (1 - part) + total[:, left + 1] * part


@cache
def _bin_edges(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return both edges of each bin in grid steps, and whether it is narrower than a step."""
    q = np.exp(np.linspace(np.log(Q_MIN), np.log(Q_MAX), N_BINS + 1))
    angle = np.degrees(2 * np.arcsin((q * CU_KALPHA1_A / (4 * np.pi)).clip(0, 1)))
    at = (angle - TWO_THETA_MIN_DEG) / STEP_DEG + 0.5
    inside = at.clip(0, N_ANGLES)
    low, high = torch.from_numpy(inside[:-1]), torch.from_numpy(inside[1:])
    # A bin outside of the grid has no width; give it one, and no measured point falls into it.
    return low.to(device), torch.maximum(high, low + 1e-3).to(device), ((high - low) < 1.0).to(device)
