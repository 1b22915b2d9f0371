"""Backgrounds beneath the peaks, and their subtraction as measured scans get it, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.simulate.parameters import Instrument, Parameters

SNIP_COUNTS = 10_000.0
"""Counts at the maximum to which a pattern is scaled for SNIP."""


def add_background(pattern: Tensor, top: Tensor, parameters: Parameters, instrument: Instrument) -> Tensor:
    """Add a Chebyshev polynomial, scattering at low angles and a hump, relative to the highest point of the peaks."""
    p, device = parameters, pattern.device
    start, stop = instrument.two_theta_min_deg, instrument.two_theta_max_deg
    grid = torch.linspace(start, stop, instrument.n_points, dtype=torch.float64, device=device)
    shape = torch.zeros((), dtype=torch.float64, device=device)
    if p.background_height.any():
        x = 2 * (grid - start) / (stop - start) - 1
        first, second, third = p.background_chebyshev.T[:, :, None]
        smooth = 1 + first * x + second * (2 * x**2 - 1) + third * (4 * x**3 - 3 * x)
        shape = shape + p.background_height[:, None] * smooth.clamp(min=0)
    if p.air_height.any():
        shape = shape + p.air_height[:, None] * (-(grid - start) / p.air_decay_deg[:, None]).exp()
    if p.second_hump_height.any():
        wavelength = instrument.wavelengths_A[0]
        centre = 2 * torch.rad2deg((wavelength / (2 * p.second_hump_d_A)).clamp_max(1.0).asin())
        off = (grid - centre[:, None]) / p.second_hump_fwhm_deg[:, None]
        shape = shape + p.second_hump_height[:, None] * (-4 * off.square()).exp2()
    return pattern + (shape * top).float() if shape.ndim else pattern


def without_background(pattern: Tensor, window: Tensor) -> Tensor:
    """Subtract what SNIP finds with a half window (pattern,), a share of the range; nothing is negative.

    Patterns with a window of 0 stay as they are. Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396, as scans get it.
    """
    chosen = (window > 0).nonzero().squeeze(1)
    if not len(chosen):
        return pattern
    intensity = pattern[chosen].double()
    scale = SNIP_COUNTS / intensity.amax(dim=1, keepdim=True).clamp(min=1e-300)
    intensity = intensity * scale
    lowest = intensity.amin(dim=1, keepdim=True).clamp(max=0)
    half = (window[chosen] * pattern.shape[1]).long().clamp(max=(pattern.shape[1] - 1) // 2)
    v = (((intensity - lowest + 1).sqrt() + 1).log() + 1).log()
    for w in range(int(half.max()), 0, -1):
        middle = v[:, w:-w]
        lowered = torch.minimum(middle, (v[:, 2 * w :] + v[:, : -2 * w]) / 2)
        v[:, w:-w] = torch.where((half >= w)[:, None], lowered, middle)
    found = ((v.exp() - 1).exp() - 1).square() - 1 + lowest
    out = pattern.clone()
    out[chosen] = ((intensity - found).clamp(min=0) / scale).to(pattern.dtype)
    return out
