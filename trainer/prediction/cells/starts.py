"""Conventional cells to begin a search with: those whose Niggli cells resemble a predicted one.

Small changes of a cell can turn its Niggli cell into another of quite other angles, so predicted angles of skew cells
are often means of two kinds. Cells drawn at random of each Bravais lattice are compared by their lengths above all.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from trainer.prediction.cells.conventional import (
    free_numbers,
    metrics_of,
    niggli_cell,
    primitive_volume,
    shapes,
)

Array = NDArray[np.float64]

DRAWN = {"c": 1, "t": 200, "h": 200, "o": 2000, "m": 6000}
"""Random cells of each crystal family."""
MOST = {"c": 1, "t": 3, "h": 3, "o": 4, "m": 8}
"""Cells to begin with."""
LONGEST = 1.0
"""Logarithm of the largest ratio of an axis to their mean."""
LARGEST_BETA_DEG = 130.0
LENGTH_ERROR, ANGLE_ERROR_DEG, LARGEST_ERROR_DEG = 0.12, 30.0, 30.0
"""Usual errors of a network's cells; of angles no more than the largest counts."""
DIFFERENT = 0.1
"""Least difference between two cells to begin with, in logarithms of axes or in a cosine."""
_SEED = 7


def starts(lattice: str, niggli: Array) -> list[Array]:
    """Return free numbers of cells whose Niggli cells resemble one in A and degrees, the most alike first."""
    family = lattice[0]
    if family == "a":
        return [free_numbers(lattice, np.linalg.inv(metrics_of(niggli[None])[0]))]
    values, cells = _drawn(lattice)
    longer = np.log(niggli[:3]) - np.log(cells[:, :3])
    scale = longer.mean(axis=1)
    unlike = np.abs(longer - scale[:, None]).sum(axis=1) / LENGTH_ERROR
    unlike += np.minimum(np.abs(cells[:, 3:] - niggli[3:]), LARGEST_ERROR_DEG).sum(axis=1) / ANGLE_ERROR_DEG
    found: list[Array] = []
    for i in np.argsort(unlike, kind="stable").tolist():
        one = values[i] * np.exp(-2 * scale[i])
        shape = shapes(lattice, one)
        if all(np.abs(shape - shapes(lattice, other)).max() > DIFFERENT for other in found):
            found.append(one)
            if len(found) == MOST[family]:
                break
    return found


@cache
def _drawn(lattice: str) -> tuple[Array, Array]:
    """Return free numbers and Niggli cells of random cells whose primitive volume is 1 A^3."""
    family, generator = lattice[0], np.random.default_rng(_SEED)
    n = DRAWN[family]
    cells = np.full((n, 6), 90.0)
    cells[:, :3] = np.exp(generator.uniform(-LONGEST, LONGEST, (n, 3)))
    if family in "th":
        cells[:, 1] = cells[:, 0]
    if family == "c":
        cells[:, :3] = 1.0
    if family == "h":
        cells[:, 5] = 120.0
    if family == "m":
        cells[:, 4] = generator.uniform(90.0, LARGEST_BETA_DEG, n)
    values = free_numbers(lattice, np.linalg.inv(metrics_of(cells)).astype(np.float64))
    volume = np.array([primitive_volume(lattice, one) for one in values])
    values *= volume[:, None] ** (2 / 3)
    return values, np.array([niggli_cell(lattice, one) for one in values])
