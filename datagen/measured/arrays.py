"""Collections of scans over equal angles as arrays of one `.npz`, with a column for each statement."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datagen.errors import DatagenError
from datagen.measured.entry import Entry
from datagen.measured.truth import of_row
from trainer.scans.scan import Scan

COLUMNS = ("space_group", "formula", "a", "b", "c", "alpha", "beta", "gamma", "wavelength_A", "cif", "licence")
NAMES = ("name", "pattern", "number")
"""Arrays that name the scans, the first that is there."""


def of_arrays(source: Path) -> Iterator[Entry]:
    """Yield the scans of an array `intensity` (scan, point) over `two_theta_deg`, or `two_theta_start` and `_step`.

    A column of the table has one value for each scan, or one for all.
    """
    try:
        with np.load(source, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except FileNotFoundError:
        raise DatagenError(f"{source}: no file here") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatagenError(f"{source}: expected arrays in .npz, found something else ({error})") from error
    intensity = arrays.get("intensity")
    if intensity is None or intensity.ndim != 2 or intensity.dtype.kind not in "iuf":
        raise DatagenError(f"{source}: expected an array `intensity` of numbers (scan, point), found none")
    angle = _angles(source, arrays, intensity.shape[1])
    names = next((arrays[name] for name in NAMES if name in arrays), np.arange(len(intensity)))
    columns = {name: _column(source, name, arrays[name], len(intensity)) for name in COLUMNS if name in arrays}
    for row, values in enumerate(intensity):
        stated = {name: column[row] for name, column in columns.items()}
        truth = of_row(stated, str(stated["cif"]) if stated.get("cif") else None)
        yield Entry(str(names[row]), partial(Scan.from_arrays, angle, values.astype(np.float64)), truth)


def _angles(source: Path, arrays: dict[str, NDArray[np.generic]], points: int) -> NDArray[np.float64]:
    if "two_theta_deg" in arrays:
        angle = np.asarray(arrays["two_theta_deg"], dtype=np.float64)
    elif "two_theta_start" in arrays and "two_theta_step" in arrays:
        start, step = (np.asarray(arrays[f"two_theta_{name}"], dtype=np.float64) for name in ("start", "step"))
        angle = np.asarray(start + step * np.arange(points, dtype=np.float64), dtype=np.float64)
    else:
        raise DatagenError(
            f"{source}: expected `two_theta_deg`, or `two_theta_start` and `two_theta_step`, found neither"
        )
    if angle.shape != (points,):
        raise DatagenError(f"{source}: two_theta_deg: expected {points} angles, found the shape {angle.shape}")
    return angle


def _column(source: Path, name: str, values: NDArray[np.generic], count: int) -> NDArray[np.generic]:
    if values.ndim == 0:
        return np.repeat(values[None], count)
    if values.shape != (count,):
        raise DatagenError(f"{source}: {name}: expected {count} values, found the shape {values.shape}")
    return values
