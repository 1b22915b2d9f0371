"""What pattern do sticks make? GSAS-II's peak shapes on the device, for a whole batch with fresh parameters.

The same physics as the engine that wrote the dataset: Gaussian and Lorentzian widths from instrument and sample, the
pseudo-Voigt of Thompson, Cox and Hastings, and the Finger-Cox-Jephcoat integral for axial divergence by the same
Gauss-Legendre sums, over the same range around each peak. Angles are in degrees, widths in centidegrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import TrainerError

WIDTH_FLOOR = 0.001
MIN_SH_OVER_L = 0.002
CHUNK_POINTS = 1 << 25
"""Points of profile that are in memory at a time on a GPU: 128 MiB a temporary array."""
CHUNK_POINTS_CPU = 1 << 18
"""On a CPU they stay in the cache."""

# fmt: off
AXIAL_TERMS = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 140, 160,
               180, 200, 220, 240, 260, 280, 300, 400)
# fmt: on
"""Gauss-Legendre orders that GSAS-II chooses from: the first not below 300 (2theta - 2phi_min) / gamma."""


@dataclass(frozen=True)
class Instrument:
    """What of the diffractometer the shape of a pattern depends on; the dataset's attributes say it."""

    wavelengths_A: tuple[float, ...]
    sh_over_l: float
    two_theta_min_deg: float
    two_theta_max_deg: float
    n_points: int
    geometry: str = "transmission"
    goniometer_radius_mm: float = 200.0

    @classmethod
    def of_attributes(cls, instrument: Mapping[str, Any]) -> Instrument:
        """From the resolved configuration that a dataset carries."""
        try:
            return cls(
                wavelengths_A=tuple(float(line["wavelength_A"]) for line in instrument["lines"]),
                sh_over_l=float(instrument["sh_over_l"]),
                two_theta_min_deg=float(instrument["two_theta_min_deg"]),
                two_theta_max_deg=float(instrument["two_theta_max_deg"]),
                n_points=int(instrument["n_points"]),
                geometry=str(instrument.get("geometry", "transmission")),
                goniometer_radius_mm=float(instrument.get("goniometer_radius_mm", 200.0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TrainerError(
                f"the dataset's attributes do not describe its instrument ({error!r}); "
                "training from sticks needs it: use --input patterns"
            ) from error

    @property
    def step_deg(self) -> float:
        """Distance between neighbouring points."""
        return (self.two_theta_max_deg - self.two_theta_min_deg) / (self.n_points - 1)


@dataclass(frozen=True)
class Sticks:
    """The reflections of a batch, one pattern's after another's; ``pattern`` says whose each is, ascending.

    ``two_theta_deg`` is in double precision; ``line`` is the number of the instrument's line.
    """

    two_theta_deg: Tensor
    intensity: Tensor
    line: Tensor
    pattern: Tensor
    n_patterns: int

    def each(self, change: Callable[[Tensor], Tensor]) -> Sticks:
        """The same with every tensor changed: moved to a device, or into page-locked memory."""
        columns = self.two_theta_deg, self.intensity, self.line, self.pattern
        two_theta_deg, intensity, line, pattern = map(change, columns)
        return Sticks(two_theta_deg, intensity, line, pattern, self.n_patterns)


@dataclass(frozen=True)
class Parameters:
    """Instrument and sample of each pattern of a batch, each (pattern,) in double precision."""

    microstrain: Tensor
    crystallite_size_um: Tensor
    U_cdeg2: Tensor
    V_cdeg2: Tensor
    W_cdeg2: Tensor
    X_cdeg: Tensor
    Y_cdeg: Tensor
    zero_shift_deg: Tensor
    displacement_um: Tensor


PARAMETERS = tuple(f.name for f in fields(Parameters))
ALPHADIFFRACT_RANGES: dict[str, tuple[float, float]] = {
    "microstrain": (500.0, 10_000.0),
    "crystallite_size_um": (0.1, 1.0),
    "U_cdeg2": (0.0, 3.0),
    "V_cdeg2": (-1.0, 0.0),
    "W_cdeg2": (0.0, 4.0),
}
"""AlphaDiffract's Table 5."""


def draw_parameters(
    ranges: Mapping[str, tuple[float, float]],
    n_patterns: int,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Parameters:
    """Uniform draws from each parameter's range; a parameter without a range is zero."""
    u = torch.rand(len(PARAMETERS), n_patterns, dtype=torch.float64, device=device, generator=generator)
    bounds = [ranges.get(name, (0.0, 0.0)) for name in PARAMETERS]
    return Parameters(*(low + (high - low) * u[i] for i, (low, high) in enumerate(bounds)))


@torch.no_grad()
def broaden(sticks: Sticks, parameters: Parameters, instrument: Instrument) -> Tensor:
    """Patterns (pattern, two_theta) in single precision: the sum of sticks times profiles of unit area per degree."""
    peaks = _peaks(sticks, parameters, instrument)
    step = instrument.step_deg
    device = sticks.two_theta_deg.device
    out = torch.zeros(sticks.n_patterns, instrument.n_points, dtype=torch.float32, device=device)
    grid = torch.arange(instrument.n_points, dtype=torch.float32, device=device)
    total = peaks.centre.shape[0]
    budget = CHUNK_POINTS_CPU if device.type == "cpu" else CHUNK_POINTS
    size = max(1, budget // instrument.n_points)
    owner = peaks.pattern.cpu()
    for start in range(0, total, size):
        here = slice(start, min(start + size, total))
        first, last = int(owner[here.start]), int(owner[here.stop - 1])
        # Whole and fractional steps apart, so that single precision resolves the top of a sharp peak.
        position = (peaks.centre[here] - instrument.two_theta_min_deg) / step
        whole = position.round()
        offset = grid - whole.float()[:, None]
        inside = (offset >= (peaks.first[here] - whole).float()[:, None]) & (
            offset < (peaks.last[here] - whole).float()[:, None]
        )
        offset -= (position - whole).float()[:, None]
        x2 = offset.mul_((step / peaks.fwhm[here]).float()[:, None]).square_().mul_(-4.0)
        eta = peaks.eta[here].float()[:, None]
        profile = (x2 * math.log(2)).exp_().mul_(2.0 * math.sqrt(math.log(2) / math.pi) * (1.0 - eta))
        profile += (2.0 / math.pi) * eta / (1.0 - x2)
        profile *= inside
        weight = torch.zeros(last - first + 1, here.stop - here.start, dtype=torch.float32, device=device)
        column = torch.arange(here.stop - here.start, device=device)
        weight[peaks.pattern[here] - first, column] = (peaks.intensity[here] / peaks.fwhm[here]).float()
        # A product instead of a scattered sum: each row's terms are added in one fixed order.
        out[first : last + 1] += weight @ profile
    return out


@dataclass(frozen=True)
class _Peaks:
    """What is summed: centre and FWHM (deg), Lorentzian fraction, area, and the grid points first <= j < last."""

    centre: Tensor
    fwhm: Tensor
    eta: Tensor
    intensity: Tensor
    first: Tensor
    last: Tensor
    pattern: Tensor


def _peaks(sticks: Sticks, parameters: Parameters, instrument: Instrument) -> _Peaks:
    device = sticks.two_theta_deg.device
    owner = sticks.pattern.long()
    of = {name: getattr(parameters, name)[owner] for name in PARAMETERS}
    bragg = sticks.two_theta_deg
    theta = torch.deg2rad(bragg) / 2
    tan, cos = theta.tan(), theta.cos()
    wavelength = torch.tensor(instrument.wavelengths_A, dtype=torch.float64, device=device)[sticks.line.long()]

    variance = (of["U_cdeg2"] * tan**2 + of["V_cdeg2"] * tan + of["W_cdeg2"]).clamp_min(WIDTH_FLOOR)
    size = 1.8 * wavelength / (math.pi * of["crystallite_size_um"]) + of["X_cdeg"]
    strain = 0.018 * of["microstrain"] / math.pi + of["Y_cdeg"]
    gamma = (size / cos + strain * tan).clamp_min(WIDTH_FLOOR)
    g, f = (8 * math.log(2) * variance).sqrt(), gamma
    total = (
        g**5 + 2.69269 * g**4 * f + 2.42843 * g**3 * f**2 + 4.47163 * g**2 * f**3 + 0.07842 * g * f**4 + f**5
    ) ** 0.2
    r = f / total
    eta = 1.36603 * r - 0.47719 * r**2 + 0.11116 * r**3

    sh_over_l = max(instrument.sh_over_l, MIN_SH_OVER_L)
    cos_bragg = torch.deg2rad(bragg).cos()
    lowest = torch.rad2deg((cos_bragg * math.sqrt(1 + sh_over_l**2)).clamp(-1.0, 1.0).acos())
    shift = of["zero_shift_deg"] + _displacement_deg(bragg, of["displacement_um"], instrument)

    reach = (2.355 * variance.sqrt() + gamma) / 100
    low = -50 * (reach + sh_over_l * cos_bragg.abs())
    high = 75 * reach

    terms, abscissas, weights = _quadrature(device)
    wanted = (300 * (bragg - lowest).abs() / gamma).floor()
    table = torch.searchsorted(terms, wanted).clamp_max(len(AXIAL_TERMS) - 1)
    widest = AXIAL_TERMS[int(table.max())] // 2 if len(table) else 1
    x, w = abscissas[table, :widest], weights[table, :widest]  # (stick, node); unused nodes have no weight
    centre = lowest[:, None] + (bragg - lowest)[:, None] * x
    c = torch.deg2rad(centre).cos()
    density = (
        sh_over_l * cos_bragg.abs()[:, None] / (c**2 - cos_bragg[:, None] ** 2).clamp_min(1e-300).sqrt() - 1
    ) / c.abs()
    share = torch.where(w > 0, w * density, torch.zeros_like(w))
    share = share / share.sum(dim=1, keepdim=True)
    stick, node = (w > 0).nonzero(as_tuple=True)

    placed = centre[stick, node] + shift[stick]
    zero, step = instrument.two_theta_min_deg, instrument.step_deg
    mean = (centre * share).sum(dim=1) + shift  # the range is laid around the peak as a whole
    return _Peaks(
        centre=placed,
        fwhm=total[stick] / 100,
        eta=eta[stick],
        intensity=sticks.intensity.double()[stick] * share[stick, node],
        first=((mean + low - zero) / step).ceil()[stick],
        last=((mean + high - zero) / step).ceil()[stick],
        pattern=owner[stick],
    )


def _displacement_deg(bragg: Tensor, displacement_um: Tensor, instrument: Instrument) -> Tensor:
    """-2 s cos(theta) / R in reflection, s sin(2theta) / R in transmission."""
    s = displacement_um * 1e-3 / instrument.goniometer_radius_mm
    two_theta = torch.deg2rad(bragg)
    if instrument.geometry == "reflection":
        return torch.rad2deg(-2 * s * (two_theta / 2).cos())
    return torch.rad2deg(s * two_theta.sin())


@cache
def _quadrature(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Orders, and the positive halves of their abscissas and weights, each row filled up with zeros."""
    width = AXIAL_TERMS[-1] // 2
    x, w = np.zeros((len(AXIAL_TERMS), width)), np.zeros((len(AXIAL_TERMS), width))
    for row, n in enumerate(AXIAL_TERMS):
        abscissas, weights = np.polynomial.legendre.leggauss(n)
        x[row, : n // 2], w[row, : n // 2] = abscissas[n // 2 :], weights[n // 2 :]
    terms = torch.tensor(AXIAL_TERMS, dtype=torch.float64, device=device)
    return terms, torch.tensor(x, device=device), torch.tensor(w, device=device)
