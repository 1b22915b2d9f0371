"""Conventional cells of the 14 Bravais lattices by the numbers that their symmetry leaves free.

The square of 1/d of a reflection is a sum of products of its indices and of these numbers, which are entries of the
reciprocal metric: a* . a*, b* . b*, c* . c*, and for skew cells twice the products of two axes. Lattices are called as
in `trainer.training.bravais`: S is C-centred, R has hexagonal axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.prediction.cells.reduced import niggli_of

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

FREE = {"a": 6, "m": 4, "o": 3, "t": 2, "h": 2, "c": 1}
"""Free numbers of each crystal family."""
SQUARES = {"a": 3, "m": 3, "o": 3, "t": 2, "h": 2, "c": 1}
"""Those of them that are squares of axes, which come first."""
_SKEW = {"m": ((0, 2),), "a": ((1, 2), (0, 2), (0, 1))}
"""Axes of the products that are free."""
_PRIMITIVE = {
    "P": np.eye(3),
    "S": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
"""Rows: primitive vectors by conventional ones."""


def terms(lattice: str, hkl: Indices) -> Array:
    """Return what multiplies each free number in 1/d^2 of reflections (reflection, number)."""
    h, k, l = hkl.T.astype(np.float64)  # noqa: E741 - the letters of crystallography
    columns = {
        "c": (h * h + k * k + l * l,),
        "t": (h * h + k * k, l * l),
        "h": (h * h + k * k + h * k, l * l),
        "o": (h * h, k * k, l * l),
        "m": (h * h, k * k, l * l, h * l),
        "a": (h * h, k * k, l * l, k * l, h * l, h * k),
    }[lattice[0]]
    return np.stack(columns, axis=1)


def reciprocal_metrics(lattice: str, values: Array) -> Array:
    """Return the reciprocal metrics (..., 3, 3) of cells by their free numbers (..., number)."""
    family = lattice[0]
    axis = {"c": (0, 0, 0), "t": (0, 0, 1), "h": (0, 0, 1)}.get(family, (0, 1, 2))
    found = np.zeros((*values.shape[:-1], 3, 3))
    for i, number in enumerate(axis):
        found[..., i, i] = values[..., number]
    if family == "h":
        found[..., 0, 1] = found[..., 1, 0] = values[..., 0] / 2
    for number, (i, j) in enumerate(_SKEW.get(family, ())):
        found[..., i, j] = found[..., j, i] = values[..., 3 + number] / 2
    return found


def free_numbers(lattice: str, metric: Array) -> Array:
    """Return the free numbers (..., number) of cells of this symmetry by their reciprocal metrics (..., 3, 3)."""
    axes = {"c": (0,), "t": (0, 2), "h": (0, 2)}.get(lattice[0], (0, 1, 2))
    columns = [metric[..., i, i] for i in axes]
    columns += [2 * metric[..., i, j] for i, j in _SKEW.get(lattice[0], ())]
    return np.stack(columns, axis=-1)


def shapes(lattice: str, values: Array) -> Array:
    """Return logarithms of the reciprocal axes and the cosines of the free angles between them (..., number)."""
    columns = [0.5 * np.log(values[..., i]) for i in range(SQUARES[lattice[0]])]
    for number, (i, j) in enumerate(_SKEW.get(lattice[0], ())):
        columns.append(values[..., 3 + number] / (2 * np.sqrt(values[..., i] * values[..., j])))
    return np.stack(columns, axis=-1)


def are_cells(lattice: str, values: Array) -> NDArray[np.bool_]:
    """Return which numbers (cell, number) enclose a volume."""
    positive: NDArray[np.bool_] = np.asarray((values[:, : SQUARES[lattice[0]]] > 0).all(axis=1))
    if lattice[0] not in _SKEW:
        return positive
    normal = np.where(positive[:, None], values, 1.0)
    size = normal[:, :3].prod(axis=1)
    return np.asarray(positive & (np.linalg.det(reciprocal_metrics(lattice, normal)) > 0.01 * size))


def present(lattice: str, hkl: Indices) -> NDArray[np.bool_]:
    """Return which reflections the centring leaves."""
    h, k, l = hkl.T  # noqa: E741 - the letters of crystallography
    found: dict[str, Any] = {
        "P": np.ones(len(hkl), dtype=bool),
        "S": (h + k) % 2 == 0,
        "I": (h + k + l) % 2 == 0,
        "F": ((h + k) % 2 == 0) & ((h + l) % 2 == 0),
        "R": (-h + k + l) % 3 == 0,
    }
    return np.asarray(found[lattice[1]], dtype=bool)


def niggli_cell(lattice: str, values: Array) -> Array:
    """Return the Niggli cell, A and degrees."""
    vectors = _PRIMITIVE[lattice[1]]
    return niggli_of(vectors @ np.linalg.inv(reciprocal_metrics(lattice, values)) @ vectors.T)


def primitive_volume(lattice: str, values: Array) -> float:
    """Return the volume of the primitive cell, A^3."""
    metric = reciprocal_metrics(lattice, values)
    return float(abs(np.linalg.det(_PRIMITIVE[lattice[1]])) / np.sqrt(np.linalg.det(metric)))


def metrics_of(cells: Array) -> Array:
    """Return the metrics (cell, 3, 3) of a, b, c and angles in degrees (cell, 6)."""
    lengths, cosines = cells[:, :3], np.cos(np.radians(cells[:, 3:]))
    found = lengths[:, :, None] * lengths[:, None, :]
    for number, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        found[:, i, j] *= cosines[:, number]
        found[:, j, i] = found[:, i, j]
    return np.asarray(found)
