"""Reading of a dataset's reflections into flat arrays, from which patterns of any wavelength and geometry follow.

Datasets of format 1 hold positions and intensities of one instrument, which are converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.reflections import Reflections, ranges
from trainer.data.reflections import lorentz_polarisation as polarised
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.simulate.axis import CU_KALPHA1_A, Q_MAX, Q_MIN
from trainer.simulate.flat_sticks import FlatSticks
from trainer.simulate.strained import VOIGT

ROWS_AT_ONCE = 128
WEAKEST = 3e-4
"""Of the strongest reflection in the range: weaker ones are left out."""
MOST = 1500
"""Reflections kept of a structure, the strongest ones."""
STRAIN_MARGIN = 1.09
"""Reflections this far beyond the range are kept, since a strained crystal brings them into it."""


def read_flat_sticks(dataset: Dataset, rows: NDArray[np.int64]) -> FlatSticks:
    """Read the reflections of some structures, in the order of `rows`; those of format 1 need members (texture)."""
    found: dict[int, tuple[NDArray[Any], ...]] = {}
    if dataset.of_crystals:
        for block in dataset.by_shard(rows):
            for row, crystal in zip(block.tolist(), dataset.reflections(block.tolist()), strict=True):
                found[row] = _of_crystal(crystal)
    else:
        found = _of_format_1(dataset, set(rows.tolist()))
    return _flat([found[row] for row in rows.tolist()])


def flat_sticks(crystals: Iterable[Reflections]) -> FlatSticks:
    """Return the reflections of crystals in their order."""
    return _flat([_of_crystal(crystal) for crystal in crystals])


def _of_crystal(crystal: Reflections) -> tuple[NDArray[Any], ...]:
    peaks = crystal.peaks()
    numbers = 2 * np.pi * peaks.inverse_d, peaks.f2, peaks.members, peaks.member_hkl, peaks.member_f2
    return (*_kept(*numbers), crystal.reciprocal_metric, kept_by(crystal.rotations))


def kept_by(rotations: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the matrix (6, 6) that takes a change of the reciprocal metric to its mean over rotations of hkl."""
    unit = np.zeros((6, 3, 3))
    for number, (i, j) in enumerate(VOIGT):
        unit[number, i, j] = unit[number, j, i] = 1.0
    turned = np.einsum("rji,kjl,rlm->kim", rotations, unit, rotations.astype(np.float64)) / len(rotations)
    return np.stack([turned[:, i, j] for i, j in VOIGT])


def _flat(parts: Sequence[tuple[NDArray[Any], ...]]) -> FlatSticks:
    counts = np.array([len(part[0]) for part in parts])
    sizes = np.concatenate([part[2] for part in parts]) if parts else np.zeros(0)
    return FlatSticks(
        torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
        torch.from_numpy(np.concatenate([part[0] for part in parts]).astype(np.float32)),
        torch.from_numpy(np.concatenate([part[1] for part in parts]).astype(np.float32)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)),
        torch.from_numpy(np.concatenate([part[3] for part in parts]).astype(np.int16)),
        torch.from_numpy(np.concatenate([part[4] for part in parts]).astype(np.float32)),
        torch.from_numpy(np.stack([part[5] for part in parts]).astype(np.float32)),
        torch.from_numpy(np.stack([part[6] for part in parts]).astype(np.float32)),
    )


def _of_format_1(dataset: Dataset, wanted: set[int]) -> dict[int, tuple[NDArray[Any], ...]]:
    """Convert the reflections of one instrument."""
    lines = dataset.instrument["lines"]
    if len(lines) != 1 or not dataset.has("member_hkl"):
        raise TrainerError(
            f"{dataset.path}: expected a dataset of format 2, or one of format 1 of one wavelength with the variable "
            "member_hkl; make it again with this version"
        )
    wavelength, polarisation = float(lines[0]["wavelength_A"]), float(dataset.instrument["polarisation"])
    found: dict[int, tuple[NDArray[Any], ...]] = {}
    for first in range(0, dataset.n_structures, ROWS_AT_ONCE):
        block = [row for row in range(first, min(first + ROWS_AT_ONCE, dataset.n_structures)) if row in wanted]
        if block:
            found.update(_read_block(dataset, block, wavelength, polarisation))
    return found


def _read_block(
    dataset: Dataset, rows: list[int], wavelength_A: float, polarisation: float
) -> dict[int, tuple[NDArray[Any], ...]]:
    first, last = rows[0], rows[-1] + 1
    dataset.require(rows)
    n = dataset.block("n_reflections", first, last).astype(np.int64)
    m = dataset.block("n_members", first, last).astype(np.int64)
    angle = dataset.ragged("reflection_two_theta", first, n)
    intensity = dataset.ragged("reflection_intensity", first, n)
    members = dataset.ragged("reflection_members", first, n)
    hkl = dataset.ragged("member_hkl", first, m)
    share = dataset.ragged("member_intensity", first, m)
    metric = dataset.block("reciprocal_metric", first, last)
    found = {}
    for row in rows:
        k = row - first
        radians = np.radians(angle[k])
        f_squared = intensity[k] / polarised(radians, polarisation)
        q = 4 * np.pi * np.sin(radians / 2) / wavelength_A
        found[row] = (*_kept(q, f_squared, members[k], hkl[k], share[k]), metric[k], np.zeros((6, 6)))
    return found


def _kept(
    q: NDArray[np.float64],
    f_squared: NDArray[np.float64],
    members: NDArray[np.int64],
    hkl: NDArray[Any],
    share: NDArray[np.float64],
) -> tuple[NDArray[Any], ...]:
    """Return q, |F|^2, members, hkl and shares of the reflections that matter in the range of ln q."""
    on_cu = f_squared * lorentz_polarisation(q)
    inside = (q > Q_MIN / STRAIN_MARGIN) & (q < Q_MAX * STRAIN_MARGIN)
    strongest = float(on_cu[inside].max()) if inside.any() else 0.0
    keep = np.flatnonzero(inside & (on_cu > WEAKEST * strongest))
    if len(keep) > MOST:
        keep = np.sort(keep[np.argsort(on_cu[keep])[-MOST:]])
    start = np.concatenate([[0], np.cumsum(members)])
    at = ranges(start[keep], members[keep])
    sums = np.add.reduceat(share[at], np.cumsum(np.r_[0, members[keep][:-1]])) if len(keep) else np.zeros(0)
    shares = share[at] / np.repeat(np.maximum(sums, 1e-300), members[keep])
    return q[keep], f_squared[keep] / max(strongest, 1e-300), members[keep], hkl[at], shares


def lorentz_polarisation(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Lorentz-polarisation factor of an unpolarised Cu K-alpha1 tube at q, 1/A."""
    sine = (q * CU_KALPHA1_A / (4 * np.pi)).clip(0, 0.999999)
    cosine_2 = 1 - 2 * sine**2
    found: NDArray[np.float64] = (1 + cosine_2**2) / (sine**2 * np.sqrt(1 - sine**2))
    return found
