"""Sums of pseudo-Voigt profiles on the points of patterns, tile by tile.

A tile is TILE neighbouring points of a pattern; only peaks whose range reaches it are computed there. Tiles with about
as many peaks are computed together, as one reduction, of which `torch.compile` makes one kernel without arrays in
between.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor

from trainer.simulate.parameters import Instrument

TILE = 256
WIDER = 1.25
"""Tiles are computed together if one has at most this many times the peaks of the other, or FEW_PEAKS more."""
FEW_PEAKS = 4
CHUNK_POINTS = 1 << 25
"""Profile points in memory at a time on a GPU: 128 MiB per temporary array."""
CHUNK_POINTS_CPU = 1 << 18
"""The same on a CPU, so that they stay in the cache."""
MOST_ROWS = 1 << 26
"""Pairs of peak and tile that are compared at a time."""


@dataclass(frozen=True)
class Peaks:
    """Peaks to sum in the order of their patterns.

    Centre and FWHM (deg), Lorentzian fraction, area, and the grid points first <= j < last.
    """

    centre: Tensor
    fwhm: Tensor
    eta: Tensor
    intensity: Tensor
    first: Tensor
    last: Tensor
    pattern: Tensor


def sum_profiles(peaks: Peaks, n_patterns: int, instrument: Instrument, *, compiled: bool = False) -> Tensor:
    """Return patterns (pattern, two_theta) in single precision."""
    n_tiles = -(-instrument.n_points // TILE)
    number = torch.bincount(peaks.pattern, minlength=n_patterns)
    some = max(1, MOST_ROWS // (n_tiles * max(1, int(number.max()))))
    if some >= n_patterns:
        return _sum(peaks, number, n_tiles, instrument, compiled)
    parts = []
    first = 0
    for part in torch.split(number, some):
        last = first + int(part.sum())
        columns = (getattr(peaks, field.name)[first:last] for field in fields(Peaks))
        parts.append(_sum(Peaks(*columns), part, n_tiles, instrument, compiled))
        first = last
    return torch.cat(parts)


def _sum(peaks: Peaks, number: Tensor, n_tiles: int, instrument: Instrument, compiled: bool) -> Tensor:
    """Return the patterns that have these numbers of peaks."""
    device = number.device
    peak, tile, start = _peaks_by_tile(peaks, number, n_tiles)
    # One more row for the slots of tiles that have fewer peaks than others of their group: its range is empty.
    rows = torch.cat([_rows(peaks, peak, tile, instrument), torch.tensor([_NOTHING], device=device)])
    out = torch.zeros(len(number) * n_tiles, TILE, device=device)
    points = torch.arange(TILE, dtype=torch.float32, device=device)
    total = _compiled() if compiled else _total
    # A compiled kernel has no arrays in between.
    budget = CHUNK_POINTS_CPU if device.type == "cpu" and not compiled else CHUNK_POINTS
    for tiles, widest in _groups(start.diff(), budget):
        slot = start[tiles, None] + torch.arange(widest, device=device)
        out[tiles] = total(rows[torch.where(slot < start[tiles + 1, None], slot, len(peak))], points)
    return out.view(len(number), -1)[:, : instrument.n_points]


_NOTHING = (0.0, 0.0, math.inf, -math.inf, 1.0, 0.0, 0.0)


def _total(rows: Tensor, points: Tensor) -> Tensor:
    """Return the sums (tile, point) of the peaks (tile, peak, 7) of tiles."""
    whole, fraction, first, last, width, lorentzian, gaussian = rows[..., None].unbind(dim=2)
    x2 = ((points - whole - fraction) * width).square()
    # Its exponential falls to zero far from the centre, for which some libraries take 20 times as long as `exp2` does.
    profile = gaussian * torch.exp2(-x2) + lorentzian / (1.0 + x2)
    return torch.where((points >= first) & (points < last), profile, 0.0).sum(dim=1)


@cache
def _compiled() -> Callable[[Tensor, Tensor], Tensor]:
    return torch.compile(_total, dynamic=True)


def _rows(peaks: Peaks, peak: Tensor, tile: Tensor, instrument: Instrument) -> Tensor:
    """Return what `_total` needs of each peak in each of its tiles (row, 7), in points from the tile's first one.

    Centre as a whole and a fraction, first and last point, 2 / FWHM, and the heights of a Lorentzian and of a Gaussian.
    """
    begin, step = tile * TILE, instrument.step_deg
    height = peaks.intensity / peaks.fwhm
    lorentzian = 2.0 / math.pi * peaks.eta * height
    gaussian = 2.0 * math.sqrt(math.log(2) / math.pi) * (1.0 - peaks.eta) * height
    centre = (peaks.centre - instrument.two_theta_min_deg) / step
    # Separate whole and fractional points, so that single precision resolves sharp peaks.
    whole = centre.round()
    places = [(column[peak] - begin).float() for column in (whole, peaks.first, peaks.last)]
    columns = centre - whole, 2.0 * step / peaks.fwhm, lorentzian, gaussian
    fraction, *shapes = (column.float()[peak] for column in columns)
    return torch.stack([places[0], fraction, *places[1:], *shapes], dim=1)


def _peaks_by_tile(peaks: Peaks, number: Tensor, n_tiles: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the peaks of all tiles, one tile after another, the tile of each in its pattern, and where tiles start."""
    device = number.device
    before = number.cumsum(0) - number
    slots = torch.arange(int(number.max()), device=device)
    peak = (before[:, None] + slots).clamp(max=max(0, len(peaks.pattern) - 1))
    begin = TILE * torch.arange(n_tiles, device=device)[:, None]
    first, last = peaks.first[peak][:, None], peaks.last[peak][:, None]  # (pattern, 1, slot)
    reached = (first < begin + TILE) & (last > begin) & (last > first) & (slots < number[:, None])[:, None]
    count = reached.sum(dim=2).flatten()
    start = torch.cat([count.new_zeros(1), count.cumsum(0)])
    pattern, tile, slot = reached.nonzero(as_tuple=True)
    return peak[pattern, slot], tile, start


def _groups(count: Tensor, budget: int) -> Iterator[tuple[Tensor, int]]:
    """Yield tiles that have peaks, and the most of one of them: about as many, and within the budget of points."""
    tiles = torch.argsort(count, stable=True)
    counts = count[tiles].tolist()
    first = bisect_right(counts, 0)
    while first < len(counts):
        stop = bisect_right(counts, max(WIDER * counts[first], counts[first] + FEW_PEAKS))
        stop = min(stop, first + max(1, budget // (TILE * counts[stop - 1])))
        yield tiles[first:stop], counts[stop - 1]
        first = stop
