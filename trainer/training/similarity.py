"""Similarity of densities: SSIM and PSNR as in scikit-image, in batches on the device, and the 24 rotations."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 7
K1, K2 = 0.01, 0.03


def ssim(truth: Tensor, other: Tensor) -> Tensor:
    """Return the structural similarity (batch) of volumes (batch, x, y, z), with the data range of the truth (eq. 8).

    As `skimage.metrics.structural_similarity` with its defaults: a uniform window of 7, sample covariances, the mean
    over complete windows. Sums are in double precision because variances are differences of them.
    """
    x, y = truth.double(), other.double()
    span = (x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3)))[:, None, None, None]
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    ux, uy = _window_mean(x), _window_mean(y)
    points = WINDOW**3
    unbiased = points / (points - 1)
    vx = unbiased * (_window_mean(x * x) - ux * ux)
    vy = unbiased * (_window_mean(y * y) - uy * uy)
    vxy = unbiased * (_window_mean(x * y) - ux * uy)
    score = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    return score.mean(dim=(1, 2, 3))


def psnr(truth: Tensor, other: Tensor) -> Tensor:
    """Return 10 log10(range(truth)^2 / MSE) in dB (batch) of volumes (batch, x, y, z) (eq. 9)."""
    x, y = truth.double(), other.double()
    span = x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))
    return 10.0 * torch.log10(span**2 / ((x - y) ** 2).mean(dim=(1, 2, 3)))


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


def _window_mean(volume: Tensor) -> Tensor:
    return functional.avg_pool3d(volume.unsqueeze(1), WINDOW, stride=1).squeeze(1)
