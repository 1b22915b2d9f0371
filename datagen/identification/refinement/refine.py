"""Refinement of cell, zero shift, widths, background and scale against a scan, stage by stage; Le Bail extraction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.identification.refinement.least_squares import BACKGROUND_TERMS, Fit, Problem
from datagen.identification.refinement.model import Measurement, Model, parameters_of, strain_of
from datagen.identification.refinement.phase import Phase

Array = NDArray[np.float64]
SIZES = np.linspace(-0.02, 0.02, 81)
"""Relative changes of the cell's edges that are tried at first."""
FIRST_W_cdeg2 = 60.0
"""Wide peaks at first, so that those of a wrong cell overlap with the scan's."""
LE_BAIL_ROUNDS, PARTITIONS = 6, 6
REACH = 12.0
"""Half widths over which a peak takes its share of a Le Bail partition."""
EDGES = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True, eq=False)
class Refinement:
    """A refined phase against its scan."""

    phase: Phase
    measurement: Measurement
    fit: Fit
    uncertainty: dict[str, float]
    """Standard uncertainty of each refined parameter."""
    cell: Array
    """Conventional cell: a, b, c in A, alpha, beta, gamma in degrees."""
    cell_uncertainty: Array
    is_le_bail: bool

    @property
    def r_wp(self) -> float:
        """Weighted profile residual, background included."""
        return float(np.sqrt(self.fit.chi2 / ((self.measurement.intensity / self.measurement.sigma) ** 2).sum()))

    @property
    def r_expected(self) -> float:
        """What the weighted residual would be by the uncertainties of the points alone."""
        n = len(self.measurement.intensity) - len(self.uncertainty) - BACKGROUND_TERMS - 1
        return float(np.sqrt(n / ((self.measurement.intensity / self.measurement.sigma) ** 2).sum()))

    @property
    def goodness(self) -> float:
        """Weighted residual over the expected one."""
        return self.r_wp / self.r_expected

    @property
    def radius_mm(self) -> float | None:
        """Radius of the goniometer that a refined displacement belongs to; None where none was refined."""
        return self.measurement.radius_mm if "displacement_um" in self.uncertainty else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        radius = {} if self.radius_mm is None else {"radius_mm": self.radius_mm}
        return {
            "phase": self.phase.name,
            "space_group": self.phase.space_group,
            "method": "le bail" if self.is_le_bail else "structure",
            "r_wp": self.r_wp,
            "r_expected": self.r_expected,
            "cell": dict(zip(EDGES, self.cell.tolist(), strict=True)),
            "cell_uncertainty": dict(zip(EDGES, self.cell_uncertainty.tolist(), strict=True)),
            "parameters": {name: self.fit.values[name] for name in self.uncertainty},
            "uncertainty": self.uncertainty,
            **radius,
        }

    def __repr__(self) -> str:
        cell = " ".join(f"{v:.5f}" for v in self.cell[:3])
        return f"<Refinement {self.phase.name}: {cell} A, Rwp {self.r_wp:.1%}, goodness {self.goodness:.2f}>"


def refine(
    phase: Phase,
    measurement: Measurement,
    *,
    shift: str = "zero_deg",
    texture_axis: tuple[int, int, int] | None = None,
    le_bail: bool = False,
) -> Refinement:
    """Refine the phase's cell, a shift of the angles, widths, background and scale.

    `shift` is `zero_deg`, `displacement_um` or `both`; `texture_axis` adds preferred orientation; `le_bail` takes the
    intensities from the scan instead of the structure.
    """
    axis = None if texture_axis is None else np.asarray(texture_axis, dtype=np.float64)
    model = Model(phase, measurement, texture_axis=axis)
    if le_bail:
        model = replace(model, amplitude=np.full(len(phase.amplitude), float(phase.amplitude.mean())))
    parameters = parameters_of(phase)
    values = {parameter.name: parameter.start for parameter in parameters}
    problem = Problem(model, parameters)
    values["strain_0"] = best_size(Problem(Model(phase, measurement), parameters), values) * np.sqrt(3.0)
    shifts = ["zero_deg", "displacement_um"] if shift == "both" else [shift]
    cell = [f"strain_{k}" for k in range(len(phase.strains))]
    stages = [
        ["strain_0", "W_cdeg2"],
        ["strain_0", shifts[0], "W_cdeg2", "X_cdeg"],
        [*cell, *shifts, "W_cdeg2", "X_cdeg", "Y_cdeg"],
        [*cell, *shifts, "U_cdeg2", "V_cdeg2", "W_cdeg2", "X_cdeg", "Y_cdeg", "sh_over_l", "axial_deg"],
    ]
    stages += [] if le_bail else [[*stages[-1], "B_A2", *(["march_r"] if axis is not None else [])]]
    for names in stages:
        rounds = LE_BAIL_ROUNDS if le_bail else 1
        for _ in range(rounds):
            if le_bail:
                problem = Problem(replace(problem.model, amplitude=_partitioned(problem, values)), parameters)
            fit = problem.refine(values, names, steps=8 if le_bail else 30)
            values = fit.values
    return _finished(problem, fit, stages[-1], le_bail)


def best_size(problem: Problem, values: dict[str, float]) -> float:
    """Return the relative change of the cell's edges at which wide peaks agree best with the scan."""
    wide = {**values, "W_cdeg2": FIRST_W_cdeg2}
    tried = [problem.solve({**wide, "strain_0": size * np.sqrt(3.0)}) for size in SIZES]
    allowed = [fit.chi2 if fit.scale > 0 else np.inf for fit in tried]
    return float(SIZES[int(np.argmin(allowed))])


def _finished(problem: Problem, fit: Fit, names: list[str], le_bail: bool) -> Refinement:
    phase = problem.model.phase
    covariance = problem.covariance(fit, names)
    strain = strain_of(fit.values, phase)
    steps = np.eye(len(strain)) * 1e-6
    slope = np.array([phase.conventional_cell(strain + s) - phase.conventional_cell(strain - s) for s in steps]) / 2e-6
    own = covariance[: len(strain), : len(strain)]
    return Refinement(
        phase,
        problem.model.measurement,
        fit,
        dict(zip(names, np.sqrt(np.diag(covariance).clip(min=0)).tolist(), strict=True)),
        phase.conventional_cell(strain),
        np.sqrt(np.einsum("ki,kl,li->i", slope, own, slope).clip(min=0)),
        le_bail,
    )


def _partitioned(problem: Problem, values: dict[str, float]) -> Array:
    """Return the groups' intensities by Le Bail's rule: each peak's share of the scan above the background."""
    model = problem.model
    assert model.amplitude is not None
    m, amplitude = model.measurement, model.amplitude
    for _ in range(PARTITIONS):
        current = replace(model, amplitude=amplitude)
        fit = Problem(current, tuple(problem.parameters.values()), problem.terms).solve(values)
        above = fit.calculated - fit.background
        ratio = np.where(above > 1e-3 * above.max(), (m.intensity - fit.background) / np.maximum(above, 1e-30), 1.0)
        angle, area, _, group = current.peaks(values)
        angle = angle + current._shift(angle, values)
        half = _half_width_deg(angle, values)
        share = _means(m.two_theta_deg, ratio, angle, half)
        weighted = np.bincount(group, area * share.clip(min=0), minlength=len(amplitude))
        total = np.bincount(group, area, minlength=len(amplitude))
        amplitude = amplitude * np.where(total > 0, weighted / np.maximum(total, 1e-30), 1.0)
        amplitude = amplitude.clip(min=1e-6 * amplitude.max())
    return amplitude


def _half_width_deg(angle_deg: Array, values: dict[str, float]) -> Array:
    theta = np.radians(angle_deg / 2)
    t = np.tan(theta)
    variance = values["U_cdeg2"] * t**2 + values["V_cdeg2"] * t + values["W_cdeg2"]
    gauss = np.sqrt(8 * np.log(2) * variance.clip(min=0.02))
    lorentz = values["X_cdeg"] / np.cos(theta) + values["Y_cdeg"] * t
    return np.asarray((gauss**5 + lorentz**5 + 2.7 * gauss**4 * lorentz + 4.5 * gauss**2 * lorentz**3) ** 0.2 / 200)


def _means(x: Array, ratio: Array, centre: Array, half: Array) -> Array:
    """Return the mean of `ratio` around each centre, weighted by a Lorentzian squared of this half width."""
    first = np.searchsorted(x, centre - REACH * half)
    last = np.searchsorted(x, centre + REACH * half)
    found = np.ones(len(centre))
    for k, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if b > a:
            weight = 1.0 / (1.0 + ((x[a:b] - centre[k]) / half[k]) ** 2) ** 2
            found[k] = float((weight * ratio[a:b]).sum() / weight.sum())
    return found
