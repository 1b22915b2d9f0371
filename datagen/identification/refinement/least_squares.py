"""Damped least squares of a model's parameters, with scale and background solved exactly at every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from datagen.identification.refinement.model import Measurement, Model, Parameter

Array = NDArray[np.float64]
MOST_STEPS = 30
CONVERGED = 1e-5
"""Relative change of the sum of squares."""
BACKGROUND_TERMS = 12


@dataclass(frozen=True, eq=False)
class Fit:
    """Parameters at the minimum and the pattern there."""

    values: dict[str, float]
    scale: float
    calculated: Array
    background: Array
    chi2: float
    """Sum of squared weighted differences."""


class Problem:
    """A model against a measurement; `refine` changes the named parameters."""

    def __init__(self, model: Model, parameters: tuple[Parameter, ...], terms: int = BACKGROUND_TERMS) -> None:
        self.model, self.terms = model, terms
        self.parameters = {parameter.name: parameter for parameter in parameters}
        m = model.measurement
        self.weight = 1.0 / m.sigma
        self.polynomials = _polynomials(m, terms)

    def solve(self, values: dict[str, float]) -> Fit:
        """Return the best scale and background for these parameters."""
        m, pattern = self.model.measurement, self.model.pattern(values)
        height = max(float(pattern.max()), 1e-30)
        design = np.column_stack([pattern / height, self.polynomials]) * self.weight[:, None]
        found = np.linalg.lstsq(design, m.intensity * self.weight, rcond=None)[0]
        background = self.polynomials @ found[1:]
        calculated = pattern / height * found[0] + background
        chi2 = float((((m.intensity - calculated) * self.weight) ** 2).sum())
        return Fit(dict(values), float(found[0]) / height, calculated, background, chi2)

    def derivatives(self, fit: Fit, names: list[str]) -> Array:
        """Return weighted derivatives of the pattern by the named parameters, the scale and the background."""
        columns = []
        for name in names:
            step = self.parameters[name].step
            up, down = ({**fit.values, name: self._clipped(name, fit.values[name] + s * step)} for s in (1, -1))
            width = up[name] - down[name]
            columns.append(fit.scale * (self.model.pattern(up) - self.model.pattern(down)) / width)
        columns.append(self.model.pattern(fit.values) * fit.scale)
        return np.column_stack([*columns, self.polynomials]) * self.weight[:, None]

    def refine(self, values: dict[str, float], names: list[str], steps: int = MOST_STEPS) -> Fit:
        """Return the minimum over the named parameters, from `values` (Levenberg and Marquardt)."""
        fit, damping = self.solve(values), 1e-3
        for _ in range(steps):
            jacobian = self.derivatives(fit, names)
            residual = (self.model.measurement.intensity - fit.calculated) * self.weight
            normal, gradient = jacobian.T @ jacobian, jacobian.T @ residual
            before = fit.chi2
            while damping < 1e8:
                matrix = normal + np.diag(damping * np.diag(normal).clip(min=1e-12))
                change = np.linalg.lstsq(matrix, gradient, rcond=None)[0]
                moved = {
                    name: self._clipped(name, fit.values[name] + d)
                    for name, d in zip(names, change[: len(names)], strict=True)
                }
                tried = self.solve({**fit.values, **moved})
                if tried.chi2 < fit.chi2:
                    fit, damping = tried, damping / 5
                    break
                damping *= 5
            if before - fit.chi2 < CONVERGED * before:
                break
        return fit

    def covariance(self, fit: Fit, names: list[str]) -> Array:
        """Return the covariance of the named parameters, scaled by the goodness of fit where that exceeds 1."""
        jacobian = self.derivatives(fit, names)
        free = max(len(jacobian) - jacobian.shape[1], 1)
        full = np.linalg.pinv(jacobian.T @ jacobian) * max(1.0, fit.chi2 / free)
        return np.asarray(full[: len(names), : len(names)], dtype=np.float64)

    def _clipped(self, name: str, value: float) -> float:
        parameter = self.parameters[name]
        return float(min(max(value, parameter.low), parameter.high))


def _polynomials(m: Measurement, terms: int) -> Array:
    low, high = m.two_theta_deg[0], m.two_theta_deg[-1]
    return np.asarray(chebyshev.chebvander(2 * (m.two_theta_deg - low) / (high - low) - 1, terms - 1), dtype=np.float64)
