"""Patterns of reflections by GSAS-II's peak shapes, for a whole batch on the device.

The same physics as the engine that wrote the dataset: Gaussian and Lorentzian widths from instrument and sample, the
pseudo-Voigt of Thompson, Cox and Hastings, and the Finger-Cox-Jephcoat integral for axial divergence by the same
Gauss-Legendre sums, over the same range around each peak. Angles are in degrees, widths in centidegrees.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from trainer.simulate.areas import area_factors, size_factors, textured
from trainer.simulate.background import add_background, without_background
from trainer.simulate.parameters import Instrument, Parameters
from trainer.simulate.profile_sum import Peaks, sum_profiles
from trainer.simulate.second_phases import Phases, add_second_phases
from trainer.simulate.sticks import Members, Sticks
from trainer.simulate.strained import strained, volume_ratio

__all__ = ["Members", "Phases", "Sticks", "broaden"]

WIDTH_FLOOR = 0.001
MIN_SH_OVER_L = 0.002

# fmt: off
AXIAL_TERMS = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 140, 160,
               180, 200, 220, 240, 260, 280, 300, 400)
# fmt: on
"""Gauss-Legendre orders of GSAS-II, which takes the first not below 300 (2theta - 2phi_min) / gamma."""


@torch.no_grad()
def broaden(
    sticks: Sticks,
    parameters: Parameters,
    instrument: Instrument,
    phases: Phases | None = None,
    *,
    subtract: bool = True,
    compiled: bool = False,
) -> Tensor:
    """Return patterns (pattern, two_theta) in single precision: sums of profiles with the areas of the reflections.

    Without `phases` there are no second phases. A background that the parameters say is subtracted stays if `subtract`
    is false, so that noise can be added first. `compiled` sums by a kernel that `torch.compile` makes.
    """

    def summed(of: Sticks, with_parameters: Parameters) -> Tensor:
        return sum_profiles(_peaks(of, with_parameters, instrument), of.n_patterns, instrument, compiled=compiled)

    with torch.autocast(sticks.two_theta_deg.device.type, enabled=False):
        moved = strained(sticks, parameters, instrument)
        ratio = volume_ratio(sticks, moved)
        pattern = add_second_phases(summed(moved, parameters), phases, parameters, instrument, ratio, summed)
        top = pattern.amax(dim=1, keepdim=True)
        pattern = add_background(_add_extras(pattern, parameters, instrument), top, parameters, instrument)
        return without_background(pattern, parameters.background_window) if subtract else pattern


def _peaks(sticks: Sticks, parameters: Parameters, instrument: Instrument) -> Peaks:
    device = sticks.two_theta_deg.device
    owner = sticks.pattern.long()
    bragg = sticks.two_theta_deg
    wavelength = torch.tensor(instrument.wavelengths_A, dtype=torch.float64, device=device)[sticks.line.long()]
    variance, gamma, fwhm, eta = _widths(bragg, wavelength, parameters, owner, size_factors(sticks, parameters))

    sh_over_l = max(instrument.sh_over_l, MIN_SH_OVER_L)
    cos_bragg = torch.deg2rad(bragg).cos()
    lowest = torch.rad2deg((cos_bragg * math.sqrt(1 + sh_over_l**2)).clamp(-1.0, 1.0).acos())
    shift = parameters.zero_shift_deg[owner] + _displacement_deg(bragg, parameters.displacement_um[owner], instrument)

    position = bragg + shift
    reach = (2.355 * variance.sqrt() + gamma) / 100
    near, far = 75 * reach, 50 * (reach + sh_over_l * cos_bragg.abs())
    below, above = torch.where(position > 90, near, far), torch.where(position > 90, far, near)

    terms, abscissas, weights = _quadrature(device)
    wanted = (300 * (bragg - lowest).abs() / gamma).floor()
    table = torch.searchsorted(terms, wanted).clamp_max(len(AXIAL_TERMS) - 1)
    widest = AXIAL_TERMS[int(table.max())] // 2
    x, w = abscissas[table, :widest], weights[table, :widest]  # (reflection, node); unused nodes have no weight
    centre = lowest[:, None] + (bragg - lowest)[:, None] * x
    c = torch.deg2rad(centre).cos()
    within = (c**2 - cos_bragg[:, None] ** 2).clamp_min(1e-300).sqrt()
    density = (sh_over_l * cos_bragg.abs()[:, None] / within - 1) / c.abs()
    share = torch.where(w > 0, w * density, 0.0)
    share = share / share.sum(dim=1, keepdim=True)
    stick, node = (w > 0).nonzero(as_tuple=True)

    zero, step = instrument.two_theta_min_deg, instrument.step_deg
    area = textured(sticks, parameters) * area_factors(bragg, wavelength, sticks, parameters, instrument)
    return Peaks(
        centre=centre[stick, node] + shift[stick],
        fwhm=fwhm[stick],
        eta=eta[stick],
        intensity=area[stick] * share[stick, node],
        first=((position - below - zero) / step).ceil()[stick],
        last=((position + above - zero) / step).ceil()[stick],
        pattern=owner[stick],
    )


def _widths(
    two_theta_deg: Tensor,
    wavelength_A: Tensor,
    parameters: Parameters,
    owner: Tensor,
    size_factor: Tensor | float = 1.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return Gaussian variance (cdeg^2), Lorentzian FWHM (cdeg), total FWHM (deg) and Lorentzian fraction."""
    theta = torch.deg2rad(two_theta_deg) / 2
    tan, cos = theta.tan(), theta.cos()
    p = parameters
    variance = (p.U_cdeg2[owner] * tan**2 + p.V_cdeg2[owner] * tan + p.W_cdeg2[owner]).clamp_min(WIDTH_FLOOR)
    size = 1.8 * wavelength_A / (math.pi * p.crystallite_size_um[owner]) * size_factor + p.X_cdeg[owner]
    strain = 0.018 * p.microstrain[owner] / math.pi + p.Y_cdeg[owner]
    f = (size / cos + strain * tan).clamp_min(WIDTH_FLOOR)
    g = (8 * math.log(2) * variance).sqrt()
    total = (
        g**5 + 2.69269 * g**4 * f + 2.42843 * g**3 * f**2 + 4.47163 * g**2 * f**3 + 0.07842 * g * f**4 + f**5
    ) ** 0.2
    r = f / total
    return variance, f, total / 100, 1.36603 * r - 0.47719 * r**2 + 0.11116 * r**3


def _add_extras(pattern: Tensor, parameters: Parameters, instrument: Instrument) -> Tensor:
    """Add impurity peaks and an amorphous hump, with heights relative to the highest point without them."""
    p, device = parameters, pattern.device
    start, stop = instrument.two_theta_min_deg, instrument.two_theta_max_deg
    grid = torch.linspace(start, stop, instrument.n_points, dtype=torch.float64, device=device)
    wavelength = torch.tensor(instrument.wavelengths_A[0], dtype=torch.float64, device=device)
    top = pattern.amax(dim=1, keepdim=True)
    extra = torch.zeros_like(pattern)
    everyone = torch.arange(len(pattern), device=device)
    for peak in range(p.impurity_height.shape[1]):
        place = start + p.impurity_position[:, peak] * (stop - start)
        _, _, fwhm, eta = _widths(place, wavelength, p, everyone)
        x2 = (((grid - place[:, None]) / fwhm[:, None]) ** 2).float()
        at_top = _shape(torch.zeros_like(x2[:, :1]), eta.float()[:, None])
        extra += p.impurity_height[:, peak].float()[:, None] * top * _shape(x2, eta.float()[:, None]) / at_top
    if p.hump_height.any():
        centre = 2 * torch.rad2deg((wavelength / (2 * p.hump_d_A)).clamp_max(1.0).asin())
        x2 = ((grid - centre[:, None]) / p.hump_fwhm_deg[:, None]) ** 2
        extra += p.hump_height.float()[:, None] * top * (-4 * x2).exp2().float()
    return pattern + extra


def _shape(x2: Tensor, eta: Tensor) -> Tensor:
    """Return a pseudo-Voigt of unit FWHM and area at squared distances."""
    gaussian = 2.0 * math.sqrt(math.log(2) / math.pi) * (-4.0 * x2).exp2()
    return eta * (2.0 / math.pi) / (1.0 + 4.0 * x2) + (1.0 - eta) * gaussian


def _displacement_deg(bragg: Tensor, displacement_um: Tensor, instrument: Instrument) -> Tensor:
    """Return the shift: -2 s cos(theta) / R in reflection, -s sin(2theta) / R in transmission."""
    s = displacement_um * 1e-3 / instrument.goniometer_radius_mm
    two_theta = torch.deg2rad(bragg)
    if instrument.geometry == "reflection":
        return torch.rad2deg(-2 * s * (two_theta / 2).cos())
    return torch.rad2deg(-s * two_theta.sin())


@cache
def _quadrature(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the orders and the positive halves of their abscissas and weights, rows padded with zeros."""
    width = AXIAL_TERMS[-1] // 2
    x, w = np.zeros((len(AXIAL_TERMS), width)), np.zeros((len(AXIAL_TERMS), width))
    for row, n in enumerate(AXIAL_TERMS):
        abscissas, weights = np.polynomial.legendre.leggauss(n)
        x[row, : n // 2], w[row, : n // 2] = abscissas[n // 2 :], weights[n // 2 :]
    terms = torch.tensor(AXIAL_TERMS, dtype=torch.float64, device=device)
    return terms, torch.tensor(x, device=device), torch.tensor(w, device=device)
