"""Cells of fitted candidates: the last steps by least squares, and Niggli and conventional cell with uncertainties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.atoms import cell_parameters
from curation.niggli import metric_of, reduce_metric
from datagen.identification.axis import POWER, Observed
from datagen.identification.index import Index
from datagen.identification.refine import (
    LARGEST_ZERO_RAD,
    PENALTY,
    SIZE_PENALTY,
    Reflections,
    reciprocal_cell,
    reflections,
)
from datagen.identification.scales import alpha2_distance

Array = NDArray[np.float64]

REDUCTION_TOLERANCE = 1e-5
"""Of the Niggli reduction, in units of volume^(2/3): library cells are kept to 1e-6 A."""
STEPS = 4
CORRELATED_BINS = 9.0
"""Differences from the scan keep their sign over the width of a line: these bins count as one observation."""
FIXED = 1e-7
"""Relative uncertainty below which symmetry fixes a parameter."""
_DERIVATIVE = np.array([2e-4, 5e-5, *[2e-4] * 5])
_ZERO_PRIOR = 0.002
"""Cosine that the largest zero shift costs, so that it stays determined where lines are few."""


@dataclass(frozen=True, eq=False)
class FittedCell:
    """A cell with the uncertainties of its parameters."""

    values: Array
    """Shift of ln q, zero shift in rad, strains."""
    niggli: tuple[float, ...]
    niggli_uncertainty: tuple[float, ...] | None
    """0 where symmetry fixes a parameter; None where the values come without a covariance."""
    conventional: tuple[float, ...] | None
    conventional_uncertainty: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class _Model:
    """A structure's pattern as it is compared with a scan, K-alpha2 included."""

    of: Reflections
    scan: Observed
    alpha2: float
    """Distance of K-alpha2 in ln q."""
    share: float
    """Of K-alpha2, relative to K-alpha1."""

    def compared(self, values: Array) -> Array:
        """Return the pattern at `values`, to the power POWER."""
        wavelength_A = self.scan.wavelength_A
        lines = self.of.lines(values, wavelength_A)
        if self.share > 0 and self.alpha2 > 0:
            moved = values.copy()
            moved[0] += self.alpha2
            lines = lines + self.share * self.of.lines(moved, wavelength_A)
        lines = np.where(self.scan.measured, lines, 0.0)
        return np.asarray((lines / max(float(lines.max()), 1e-300)) ** POWER, dtype=np.float64)


def polish(index: Index, structure: int, scan: Observed, values: Array, alpha2_share: float = 0.0) -> FittedCell:
    """Bring a fit to its minimum by Gauss and Newton's steps, each kept where the cosine less its costs rises.

    `alpha2_share` is the intensity of K-alpha2 in the scan, relative to K-alpha1: without it a line's centre is taken
    for that of K-alpha1, and cells come out too small by 0.08 % (copper).
    """
    model = _Model(reflections(index, structure), scan, alpha2_distance(scan.wavelength_A), alpha2_share)
    query = scan.compared()
    weight = float(query @ query)
    prior = 2.0 * weight * np.array([SIZE_PENALTY, _ZERO_PRIOR / LARGEST_ZERO_RAD**2, *[PENALTY] * (len(values) - 2)])
    values = values.copy()
    best = _sum_of_squares(model, query, values) + float(prior @ values**2)
    for _ in range(STEPS):
        residual, slope = _linearised(model, query, values)
        normal = slope.T @ slope
        normal[np.arange(len(values)), np.arange(len(values))] += prior
        gradient = slope.T @ residual
        gradient[: len(values)] -= prior * values
        moved = values + np.linalg.lstsq(normal, gradient, rcond=None)[0][: len(values)]
        moved[1] = moved[1].clip(-LARGEST_ZERO_RAD, LARGEST_ZERO_RAD)
        found = _sum_of_squares(model, query, moved) + float(prior @ moved**2)
        if not found < best:
            break
        best, values = found, moved
    residual, slope = _linearised(model, query, values)
    independent = max(np.count_nonzero(scan.measured) / CORRELATED_BINS - slope.shape[1], 1.0)
    # One of CORRELATED_BINS bins counts: the sum of squares over it, and the normal matrix, are smaller by that factor.
    variance = float(residual @ residual) / independent
    covariance = variance * np.linalg.pinv(slope.T @ slope)[: len(values), : len(values)]
    return fitted_cell(index, structure, values, covariance)


def fitted_cell(index: Index, structure: int, values: Array, covariance: Array | None = None) -> FittedCell:
    """Return the cells at `values`, with the uncertainties that follow from their covariance, if there is one."""
    lattice = _lattice(index, structure, values)
    reduction = reduce_metric(metric_of(lattice), REDUCTION_TOLERANCE)
    niggli = _parameters(index, structure, values, covariance, reduction.astype(np.float64))
    conventional = index.conventional[structure].astype(np.float64)
    known = bool(conventional.any())
    standard = _parameters(index, structure, values, covariance, conventional) if known else (None, None)
    return FittedCell(values, *niggli, *standard)


def _parameters(
    index: Index, structure: int, values: Array, covariance: Array | None, change: Array
) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
    """Return the parameters of the cell with rows `change` times the own cell's, and their uncertainties."""

    def at(moved: Array) -> Array:
        return np.array(cell_parameters(change @ _lattice(index, structure, moved)))

    cell = at(values)
    if covariance is None:
        return tuple(cell.tolist()), None
    steps = 1e-5 * np.eye(len(values))
    slope = np.array([at(values + step) - at(values - step) for step in steps]) / 2e-5
    error = np.sqrt(np.einsum("ki,kl,li->i", slope, covariance, slope).clip(min=0))
    error[error < FIXED * cell] = 0.0
    return tuple(cell.tolist()), tuple(error.tolist())


def _lattice(index: Index, structure: int, values: Array) -> Array:
    return np.asarray(np.linalg.inv(reciprocal_cell(index, structure, values)).T, dtype=np.float64)


def _sum_of_squares(model: _Model, query: Array, values: Array) -> float:
    pattern = model.compared(values)
    return float(query @ query - (pattern @ query) ** 2 / max(float(pattern @ pattern), 1e-300))


def _linearised(model: _Model, query: Array, values: Array) -> tuple[Array, Array]:
    """Return the differences from the scan, and the slopes of the pattern by the values and by its scale."""
    pattern = model.compared(values)
    scale = float(pattern @ query) / max(float(pattern @ pattern), 1e-300)
    columns = []
    for k in range(len(values)):
        step = np.zeros(len(values))
        step[k] = _DERIVATIVE[k]
        change = model.compared(values + step) - model.compared(values - step)
        columns.append(scale * change / (2 * _DERIVATIVE[k]))
    return query - scale * pattern, np.column_stack([*columns, pattern])
