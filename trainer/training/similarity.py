"""Similarity of densities: SSIM and PSNR as in scikit-image, in batches on the device, and the 24 rotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW = 7
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class Windowed:
    """Volumes (batch, x, y, z) in double precision with their means over windows; sums of squares need it."""

    values: Tensor
    mean: Tensor
    mean_of_squares: Tensor

    @classmethod
    def of(cls, volume: Tensor) -> Windowed:
        """Return the means over all complete windows."""
        values = volume.double()
        return cls(values, window_mean(values), window_mean(values * values))

    def rotated(self) -> Iterator[Windowed]:
        """Yield the 24 rotations; those of the means are the means of the rotated volume."""
        for parts in zip(rotations(self.values), rotations(self.mean), rotations(self.mean_of_squares), strict=True):
            yield Windowed(*parts)

    @property
    def span(self) -> Tensor:
        """Range of the values (batch)."""
        return self.values.amax(dim=(1, 2, 3)) - self.values.amin(dim=(1, 2, 3))


def ssim(truth: Tensor, other: Tensor) -> Tensor:
    """Return the structural similarity (batch) of volumes (batch, x, y, z), with the data range of the truth (eq. 8).

    As `skimage.metrics.structural_similarity` with its defaults: a uniform window of 7, sample covariances, the mean
    over complete windows.
    """
    return _ssim(Windowed.of(truth), Windowed.of(other))


def psnr(truth: Tensor, other: Tensor) -> Tensor:
    """Return 10 log10(range(truth)^2 / MSE) in dB (batch) of volumes (batch, x, y, z) (eq. 9)."""
    x, y = truth.double(), other.double()
    span = x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))
    return _psnr(span, x, y)


def rotated_scores(truth: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM and PSNR (24, batch) of all rotations of cubes (batch, n, n, n), that of the guess as it is first."""
    x, y = Windowed.of(truth), Windowed.of(guess)
    span = x.span
    scores = [(_ssim(x, turned), _psnr(span, x.values, turned.values)) for turned in y.rotated()]
    return torch.stack([s for s, _ in scores]), torch.stack([p for _, p in scores])


def rotations(volume: Tensor) -> Iterator[Tensor]:
    """Yield the 24 rotations of cubes (batch, n, n, n), the identity first."""
    x, y, z = 1, 2, 3
    poses = [volume, torch.rot90(volume, 2, (x, z))]  # the first axis up, down,
    poses += [torch.rot90(volume, k, (x, z)) for k in (1, 3)]  # along the third,
    poses += [torch.rot90(volume, k, (x, y)) for k in (1, 3)]  # along the second
    spins = [(y, z)] * 2 + [(x, y)] * 2 + [(x, z)] * 2
    for pose, plane in zip(poses, spins, strict=True):
        for quarter in range(4):
            yield torch.rot90(pose, quarter, plane)


def window_mean(volume: Tensor) -> Tensor:
    """Return the mean over windows of 7 x 7 x 7 points, one axis after another."""
    for axis in (1, 2, 3):
        length = volume.shape[axis] - WINDOW + 1
        total = volume.narrow(axis, 0, length).clone()
        for first in range(1, WINDOW):
            total += volume.narrow(axis, first, length)
        volume = total / WINDOW
    return volume


def _ssim(x: Windowed, y: Windowed) -> Tensor:
    span = x.span[:, None, None, None]
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    points = WINDOW**3
    unbiased = points / (points - 1)
    vx = unbiased * (x.mean_of_squares - x.mean * x.mean)
    vy = unbiased * (y.mean_of_squares - y.mean * y.mean)
    vxy = unbiased * (window_mean(x.values * y.values) - x.mean * y.mean)
    score = ((2 * x.mean * y.mean + c1) * (2 * vxy + c2)) / ((x.mean**2 + y.mean**2 + c1) * (vx + vy + c2))
    return score.mean(dim=(1, 2, 3))


def _psnr(span: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return 10.0 * torch.log10(span**2 / ((x - y) ** 2).mean(dim=(1, 2, 3)))
