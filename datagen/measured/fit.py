"""Fit of one scan with its structure: profile, cell, texture and background by least squares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from curation.verdict import Verdict
from datagen.identification.axis import observe
from datagen.identification.coarse import Coarse
from datagen.identification.refine import refine
from datagen.measured.agreement import index_of
from datagen.measured.model import LARGEST_STRAIN, PROFILE, Free, Peaks, Target, engine_values, solve_linear
from datagen.simulate.instrument import Instrument, Line
from datagen.simulate.sticks import compute_sticks
from trainer.scans.bring import Grid, bring
from trainer.scans.scan import Scan

Array = NDArray[np.float64]
MOST_POINTS = 6000
"""A finer scan is averaged: peaks of laboratories are wider than several of its steps."""
PLANES = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (1, -1, 0), (1, 0, -1))
"""Planes of preferred orientation that are tried."""
TRIED_R = (0.6, 1.6)
MOST_EVALUATIONS = 25
SAME_WAVELENGTH = 2e-3
LOWEST_DEG, HIGHEST_DEG = 0.5, 175.0
UNEVEN = 0.1
"""Relative difference of steps from their median beyond which a scan is not evenly spaced."""
LEAST_SIGMA = 0.05
"""Of the median uncertainty: points of no counts do not decide a fit."""
PRIOR = 0.3
"""Residual of a parameter that is one unit off its start: it keeps what the scan cannot tell from wandering."""


@dataclass(frozen=True)
class ScanFit:
    """Result of a fit."""

    rwp: float
    """Weighted profile R factor, background included."""
    expected: float
    """What counting statistics alone would give."""
    parameters: dict[str, float]
    """Of the engine, with sh_over_l, alpha2_ratio and displacement_B_A2."""
    march_hkl: tuple[int, int, int]
    cell_change: float
    """Largest relative change of a length of the cell."""
    counts: float
    """Counts at the highest point: (intensity / uncertainty) squared."""
    background: float
    """Median of the background over the highest peak."""
    two_theta_deg: Array
    measured: Array
    calculated: Array
    smooth: Array

    @property
    def row(self) -> dict[str, Any]:
        """Return plain values for a table."""
        return {
            "rwp": self.rwp,
            "expected": self.expected,
            **self.parameters,
            "march_hkl": " ".join(map(str, self.march_hkl)),
            "cell_change": self.cell_change,
            "counts": self.counts,
            "background": self.background,
        }


def fit_scan(scan: Scan, wavelength_A: float, labels: Verdict, instrument: Instrument) -> ScanFit:
    """Fit a scan with its accepted structure; raises Unsimulable or DatagenError where there is nothing to fit.

    Of the instrument polarisation, geometry, radius and, at its wavelength, lines are used.
    """
    target = target_of(scan, wavelength_A, instrument)
    peaks = _peaks(labels, target, scan, wavelength_A)
    free = _free(target.instrument, len(peaks.strains))
    start = np.array([one.start for one in free])
    peaks, start = _with_texture(target, peaks, free, start)
    background = target.linear
    low, high, unit = (np.array([getattr(one, name) for one in free]) for name in ("low", "high", "unit"))
    prior = np.array([0.0 if one.name.startswith("strain") else PRIOR for one in free])

    def residual(x: Array) -> Array:
        _, _, found = solve_linear(target, _pattern(peaks, free, x * unit, target.instrument), background)
        return np.concatenate([found, prior * (x - start / unit)])

    best = least_squares(
        residual,
        np.clip(start, low + 1e-9 * unit, high - 1e-9 * unit) / unit,
        bounds=(low / unit, high / unit),
        diff_step=1e-3,
        x_scale=1.0,
        max_nfev=MOST_EVALUATIONS,
    )
    return _result(target, peaks, free, best.x * unit, background)


def target_of(scan: Scan, wavelength_A: float, instrument: Instrument) -> Target:
    """Return a scan at even angles, as it was measured: no line is removed, no polarisation corrected.

    Points of an evenly spaced scan are kept, or averaged by whole numbers; others are averaged onto even angles.
    """
    angle, intensity, sigma = _even(scan) or _averaged(scan, wavelength_A)
    same = abs(instrument.lines[0].wavelength_A / wavelength_A - 1) < SAME_WAVELENGTH
    ratio = wavelength_A / instrument.lines[0].wavelength_A
    lines = [Line(wavelength_A=line.wavelength_A * ratio) for line in instrument.lines] if same else []
    own = instrument.model_copy(
        update={
            "lines": tuple(lines or [Line(wavelength_A=wavelength_A)]),
            "two_theta_min_deg": float(angle[0]),
            "two_theta_max_deg": float(angle[-1]),
            "n_points": len(angle),
        }
    )
    floor = float(np.median(sigma[np.isfinite(sigma)])) * LEAST_SIGMA
    return Target(own, intensity, np.maximum(sigma, max(floor, 1e-12)))


def _even(scan: Scan) -> tuple[Array, Array, Array] | None:
    """Return the points of an evenly spaced scan, averaged by a whole number; None for other scans."""
    inside = (scan.two_theta_deg > LOWEST_DEG) & (scan.two_theta_deg < HIGHEST_DEG)
    x, y, variance = scan.two_theta_deg[inside], scan.intensity[inside], scan.uncertainty[inside] ** 2
    steps = np.diff(x)
    if np.abs(steps / np.median(steps) - 1).max() > UNEVEN:
        return None
    by = -(-len(x) // MOST_POINTS)
    whole = len(x) // by * by
    x, y, variance = (values[:whole].reshape(-1, by).mean(axis=1) for values in (x, y, variance))
    return x, y, np.sqrt(variance / by)


def _averaged(scan: Scan, wavelength_A: float) -> tuple[Array, Array, Array]:
    x = scan.two_theta_deg
    x = x[(x > LOWEST_DEG) & (x < HIGHEST_DEG)]
    grid = Grid(float(x[0]), float(x[-1]), min(len(x), MOST_POINTS), wavelength_A)
    brought = bring(scan, grid, wavelength_A, polarise=False)
    return grid.two_theta_deg, brought.intensity, np.where(brought.measured, brought.sigma, np.inf)


def _peaks(labels: Verdict, target: Target, scan: Scan, wavelength_A: float) -> Peaks:
    """Return the reflections in the cell that `datagen identify` would fit to the scan."""
    sticks = compute_sticks(labels.crystal, target.instrument)
    reciprocal = np.linalg.inv(labels.crystal.lattice_A).T
    tensor = np.zeros((3, 3))
    strains = [np.eye(3) / np.sqrt(3.0)]
    index = index_of(labels)
    if index is not None:
        own = index.strains[0, : int(index.n_strains[0])].astype(np.float64)
        strains += list(own)
        start = Coarse(np.array([0]), np.array([0.0]), np.array([0.0]))
        fitted = refine(index, observe(scan.two_theta_deg, scan.intensity, wavelength_A), start)
        tensor = np.tensordot(fitted.strain[0, : len(own)], own, axes=1) - fitted.shift[0] * np.eye(3)
        begun = Peaks(sticks, sticks.member_hkl @ reciprocal, tensor[None], np.array([0, 0, 1]), tensor)
        moved = begun.moved(np.ones(1), target.instrument)
        sticks = replace(sticks, two_theta_deg=moved)
        reciprocal = reciprocal @ (np.eye(3) - tensor)
    return Peaks(sticks, sticks.member_hkl @ reciprocal, np.stack(strains), np.array([0, 0, 1]), tensor)


def _free(instrument: Instrument, strains: int) -> list[Free]:
    """Return what is fitted: a displaced sample in reflection, else the zero; the ratio of two lines."""
    fixed = {"zero_shift_deg"} if instrument.geometry == "reflection" else {"displacement_um"}
    if len(instrument.lines) == 1:
        fixed.add("alpha2_ratio")
    cell = [Free(f"strain_{i}", 0.0, -LARGEST_STRAIN, LARGEST_STRAIN, 1e-3) for i in range(strains)]
    return [*(one for one in PROFILE if one.name not in fixed), *cell]


def _pattern(peaks: Peaks, free: list[Free], x: Array, instrument: Instrument) -> Array:
    values, amounts = _values(free, x)
    return peaks.pattern(values, amounts, instrument)


def _values(free: list[Free], x: Array) -> tuple[dict[str, float], Array]:
    given = {one.name: float(value) for one, value in zip(free, x, strict=True)}
    amounts = np.array([value for name, value in given.items() if name.startswith("strain")])
    neutral = {one.name: 0.0 if one.name in ("displacement_um", "zero_shift_deg") else one.start for one in PROFILE}
    return neutral | {name: value for name, value in given.items() if not name.startswith("strain")}, amounts


def _with_texture(target: Target, peaks: Peaks, free: list[Free], start: Array) -> tuple[Peaks, Array]:
    """Return the plane of preferred orientation and the start that explain the scan best before anything is fitted."""
    at = next(i for i, one in enumerate(free) if one.name == "log_march_r")
    background = target.linear
    best = (np.inf, peaks, start)
    for plane in PLANES:
        turned = replace(peaks, march_hkl=np.array(plane))
        for r in TRIED_R:
            x = start.copy()
            x[at] = np.log(r)
            _, _, found = solve_linear(target, _pattern(turned, free, x, target.instrument), background)
            if (loss := float(found @ found)) < best[0]:
                best = (loss, turned, x)
    _, _, plain = solve_linear(target, _pattern(peaks, free, start, target.instrument), background)
    return (best[1], start) if float(plain @ plain) <= best[0] else (best[1], best[2])


def _result(target: Target, peaks: Peaks, free: list[Free], x: Array, background: Array) -> ScanFit:
    values, amounts = _values(free, x)
    pattern = peaks.pattern(values, amounts, target.instrument)
    scale, smooth, residual = solve_linear(target, pattern, background)
    used = np.isfinite(target.sigma)
    total = float(((target.intensity / target.sigma)[used] ** 2).sum())
    top = int(np.argmax(target.intensity))
    strain = peaks.begun + np.tensordot(amounts, peaks.strains, axes=1)
    high = max(float((scale * pattern).max()), 1e-300)
    return ScanFit(
        rwp=float(np.sqrt(residual @ residual / total)),
        expected=float(np.sqrt(max(int(used.sum()) - len(free), 1) / total)),
        parameters=engine_values(values)
        | {
            "sh_over_l": float(np.exp(values["log_sh_over_l"])),
            "displacement_B_A2": values["displacement_B_A2"],
            "alpha2_ratio": values["alpha2_ratio"] if len(target.instrument.lines) > 1 else 0.0,
        },
        march_hkl=tuple(int(i) for i in peaks.march_hkl),  # type: ignore[arg-type]
        cell_change=float(np.abs(np.linalg.eigvalsh(strain)).max()),
        counts=float((target.intensity[top] / target.sigma[top]) ** 2),
        background=float(np.median(smooth) / high),
        two_theta_deg=target.instrument.two_theta_deg,
        measured=target.intensity,
        calculated=scale * pattern + smooth,
        smooth=smooth,
    )
