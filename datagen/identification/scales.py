"""Scales of several phases in one scan by non-negative least squares with one line shape, and what they leave.

Lines are pseudo-Voigt with FWHM^2 = a^2 + (b tan(theta))^2 in 2theta, and K-alpha2, which on ln q is a copy at a
constant distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from catalogs.compiled import compiled
from datagen.identification.axis import Observed
from datagen.identification.refine import Reflections
from trainer.simulate.axis import LN_Q_MIN, N_BINS
from trainer.simulate.axis import LN_Q_STEP as STEP

Array = NDArray[np.float64]

START = (0.10, 0.15, 0.5, 0.4, -0.3)
LOW, HIGH = (0.02, 0.0, 0.0, 0.0, -1.0), (0.6, 2.0, 1.0, 0.6, 1.0)
"""Shape: a and b in degrees, Lorentzian share, K-alpha2 relative to K-alpha1, shift of all lines in bins: cells that
were fitted to lines of one wavelength have the centres of unresolved doublets."""
TUBE_SHARE, SEEN_SHARE = 0.5, 0.15
"""Of K-alpha2; from which fitted share on it is there."""
SAME_LINE = 4e-4
"""Relative difference up to which a wavelength is K-alpha1 of an anode: the mean of the doublet is not."""
WEAK = 0.02
"""Of the maximum: background's share of the variance of a bin, which else is proportional to its intensity."""
REACH = 8.0
"""Of a line's tails, in FWHM."""
FREEDOM = 2.0
"""A line may be stronger or weaker by this factor than by the structure before the rest shows it: texture."""
ROUNDS = 4
MARGIN = 0.12
"""Of the fitted lines: what their shape leaves beside them is no other phase."""


def alpha2_distance(wavelength_A: float) -> float:
    """Return the distance of K-alpha2 from K-alpha1 in ln q, 0 where the wavelength is not that of an anode."""
    from trainer.scans.wavelength import ALPHA_A

    for alpha1_A, alpha2_A in ALPHA_A.values():
        if abs(wavelength_A / alpha1_A - 1) < SAME_LINE:
            return float(np.log(alpha2_A / alpha1_A))
    return 0.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A phase with its cell: its reflections, and shift, zero and strains."""

    of: Reflections
    values: Array


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales of the phases, with the shape of the lines."""

    scale: Array
    """Of each phase's `f_squared`."""
    relative_error: float
    """Root of the weighted sum of squared differences over that of the scan."""
    alpha2: float
    """Distance of K-alpha2 in ln q; 0 where the wavelength is not that of an anode."""
    shape: Array
    patterns: Array
    """(phase, bin) at scale 1."""

    @property
    def alpha2_share(self) -> float:
        """Intensity of K-alpha2, relative to K-alpha1: that of a tube, or none."""
        return TUBE_SHARE if self.alpha2 and self.shape[3] > SEEN_SHARE else 0.0


def fit_scales(scan: Observed, phases: Sequence[Placed]) -> Scales:
    """Fit the scales of all phases together, and the line shape that they share."""
    weight = scan.measured / np.sqrt(np.convolve(scan.intensity, np.ones(5) / 5, "same") + WEAK)
    target = scan.intensity * weight
    distance = alpha2_distance(scan.wavelength_A)

    def solved(shape: Array) -> tuple[Array, Array, Array]:
        patterns = np.array([_pattern(phase, shape, distance, scan.wavelength_A) for phase in phases])
        scale, _ = nnls((patterns * weight).T, target)
        return patterns, scale, target - scale @ (patterns * weight)

    found = least_squares(lambda shape: solved(shape)[2], START, bounds=(LOW, HIGH), diff_step=1e-2, max_nfev=12)
    patterns, scale, residual = solved(found.x)
    error = float(np.linalg.norm(residual) / max(float(np.linalg.norm(target)), 1e-300))
    return Scales(scale, error, distance, np.asarray(found.x, dtype=np.float64), patterns)


def rest(scan: Observed, phases: Sequence[Placed], fitted: Scales) -> Observed:
    """Return the scan without the phases, whose lines may differ from the structures' intensities within limits."""
    if not phases:
        return scan
    parts = [_peaks(phase, scan.wavelength_A) for phase in phases]
    at, ln_q = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    strength = np.concatenate([s * part[2] for s, part in zip(fitted.scale.tolist(), parts, strict=True)])
    factor = np.ones(len(at))
    for _ in range(ROUNDS):
        total = np.zeros(N_BINS)
        _add_lines(at, ln_q, strength * factor, fitted.shape, fitted.alpha2, scan.wavelength_A, total)
        ratio = np.where(total > 1e-6, scan.intensity / np.maximum(total, 1e-6), 1.0)
        seen = _means(at, ln_q, ratio, scan.measured, fitted.shape, scan.wavelength_A)
        factor = (factor * seen).clip(1 / FREEDOM, FREEDOM)
    total = np.zeros(N_BINS)
    _add_lines(at, ln_q, strength * factor, fitted.shape, fitted.alpha2, scan.wavelength_A, total)
    return Observed(
        (scan.intensity - (1 + MARGIN) * total).clip(min=0) * scan.measured, scan.measured, scan.wavelength_A
    )


def _peaks(phase: Placed, wavelength_A: float) -> tuple[Array, Array, Array]:
    """Return positions in bins, ln q and areas in 2theta of a phase's lines."""
    values = phase.values
    change = phase.of.direction @ values[2:] if len(values) > 2 else np.zeros(len(phase.of.ln_q))
    ln_q = phase.of.ln_q + values[0] + 0.5 * np.log((1.0 - 2.0 * change).clip(min=0.2))
    sine = np.exp(ln_q) * wavelength_A / (4 * np.pi)
    kept = (sine > 0.005) & (sine < 0.995)
    ln_q, sine = ln_q[kept], sine[kept]
    root = np.sqrt(1 - sine**2)
    area = phase.of.f_squared[kept] * (1 + (1 - 2 * sine**2) ** 2) / (sine**2 * root)
    return (ln_q + 0.5 * values[1] * root / sine - LN_Q_MIN) / STEP - 0.5, ln_q, area


def _pattern(phase: Placed, shape: Array, alpha2: float, wavelength_A: float) -> Array:
    found = np.zeros(N_BINS)
    at, ln_q, area = _peaks(phase, wavelength_A)
    _add_lines(at, ln_q, area, shape, alpha2, wavelength_A, found)
    return found


@compiled
def _add_lines(
    at: Array, ln_q: Array, area: Array, shape: Array, alpha2: float, wavelength_A: float, out: Array
) -> None:
    """Add lines of these areas in 2theta (degrees times intensity), K-alpha2 included, to bins."""
    for r in range(len(at)):
        sine = np.exp(ln_q[r]) * wavelength_A / (4 * np.pi)
        tangent = sine / np.sqrt(1.0 - sine * sine)
        fwhm_deg = np.sqrt(shape[0] ** 2 + (shape[1] * tangent) ** 2)
        width = fwhm_deg * np.pi / 180.0 / (2.0 * tangent * STEP)
        gauss = 0.9394372787 / fwhm_deg * area[r] * (1.0 - shape[2])
        lorentz = 0.6366197724 / fwhm_deg * area[r] * shape[2]
        for line in range(2):
            centre = at[r] + shape[4] + (0.0 if line == 0 else alpha2 / STEP)
            share = 1.0 if alpha2 == 0.0 else (1.0 if line == 0 else shape[3]) / (1.0 + shape[3])
            if share == 0.0 or (line == 1 and alpha2 == 0.0):
                continue
            for j in range(
                max(int(np.ceil(centre - REACH * width)), 0), min(int(np.floor(centre + REACH * width)), N_BINS - 1) + 1
            ):
                x = 2.0 * (j - centre) / width
                square = x * x
                out[j] += share * (gauss * np.exp(-0.6931471806 * square) + lorentz / (1.0 + square))


@compiled
def _means(
    at: Array, ln_q: Array, ratio: Array, measured: NDArray[np.bool_], shape: Array, wavelength_A: float
) -> Array:
    """Return the mean ratio of scan and pattern over each line's width."""
    found = np.ones(len(at))
    for r in range(len(at)):
        sine = np.exp(ln_q[r]) * wavelength_A / (4 * np.pi)
        tangent = sine / np.sqrt(1.0 - sine * sine)
        fwhm_deg = np.sqrt(shape[0] ** 2 + (shape[1] * tangent) ** 2)
        half = max(0.5 * fwhm_deg * np.pi / 180.0 / (2.0 * tangent * STEP), 0.7)
        total = 0.0
        n = 0
        centre = at[r] + shape[4]
        for j in range(max(int(np.ceil(centre - half)), 0), min(int(np.floor(centre + half)), N_BINS - 1) + 1):
            if measured[j]:
                total += ratio[j]
                n += 1
        if n > 0:
            found[r] = total / n
    return found
