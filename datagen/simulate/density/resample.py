"""Resampling of a density on any grid to 50^3 points over the same cell."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datagen.simulate.density.grid import DensityGrid
from datagen.store.schema import DENSITY_POINTS

Method = Literal["fourier", "crystalnet"]


def resample(grid: DensityGrid, method: Method) -> NDArray[np.float64]:
    """Return the density at 50^3 points, e/A^3, axes along the cell vectors of its source (identity supercell).

    `fourier` is exact trigonometric interpolation: it passes through the source's band-limited density and keeps the
    electrons. `crystalnet` is CrystalNet's own rule (PyRho's `get_transformed`): Fourier up-sampling by the integer
    50 // min(grid) + 1, then linear interpolation, which is off by up to 13 % of the maximum and does not conserve
    electrons.
    """
    target = [DENSITY_POINTS] * 3
    if method == "fourier":
        from pyrho.utils import interpolate_fourier

        # One axis at a time: with two even axes PyRho splits the corners of highest frequencies unevenly, an error of
        # 6e-5 of the maximum in a monoclinic oxide.
        values = grid.values
        for axis in range(3):
            values = interpolate_fourier(values, [*target[: axis + 1], *values.shape[axis + 1 :]])
        return np.asarray(values, dtype=np.float64)
    from pyrho.pgrid import PGrid

    source = PGrid(grid_data=grid.values, lattice=grid.lattice_A)
    up_sample = DENSITY_POINTS // min(grid.values.shape) + 1
    transformed = source.get_transformed(sc_mat=np.eye(3, dtype=int), grid_out=target, up_sample=up_sample)
    return np.asarray(transformed.grid_data, dtype=np.float64)
