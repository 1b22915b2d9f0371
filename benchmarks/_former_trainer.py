"""The algorithms of the trainer's first version, beside which today's are measured; their results are the same."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.models.alphadiffract import AlphaDiffract, ConvNeXtBlock, Prediction
from trainer.simulate.parameters import Instrument
from trainer.simulate.profile_sum import Peaks

CHUNK_POINTS = 1 << 18


class FormerAlphaDiffract(nn.Module):
    """The network layer by layer: block 1 by a convolution, projections before both poolings."""

    def __init__(self, network: AlphaDiffract) -> None:
        super().__init__()
        self.network = network

    def forward(self, pattern: Tensor) -> Prediction:
        """Predict from patterns (batch, two_theta)."""
        x = self.network.prepare(pattern)
        for layer in self.network.extractor:
            if isinstance(layer, ConvNeXtBlock):
                branch = layer.depthwise(functional.pad(x, layer.pad)).transpose(1, 2)
                branch = layer.project(functional.gelu(layer.expand(layer.norm(branch))))
                x = layer.residual(x) + layer.drop_path(branch.transpose(1, 2))
            else:
                x = layer(x)
        return self.network.heads(x.flatten(1))


def former_sum(peaks: Peaks, n_patterns: int, instrument: Instrument) -> Tensor:
    """Sum profiles in chunks of peaks, each over the range that any of the chunk needs, by a matrix product."""
    step = instrument.step_deg
    out = torch.zeros(n_patterns, instrument.n_points)
    grid = torch.arange(instrument.n_points, dtype=torch.float32)
    total = len(peaks.centre)
    size = max(1, CHUNK_POINTS // instrument.n_points)
    position = (peaks.centre - instrument.two_theta_min_deg) / step
    whole = position.round()
    fraction = (position - whole).float()[:, None]
    first, last = ((edge - whole).float()[:, None] for edge in (peaks.first, peaks.last))
    whole = whole.float()[:, None]
    inverse_fwhm = (step / peaks.fwhm).float()[:, None]
    lorentzian = (2.0 / math.pi * peaks.eta).float()[:, None]
    gaussian = (2.0 * math.sqrt(math.log(2) / math.pi) * (1.0 - peaks.eta)).float()[:, None]
    height = (peaks.intensity / peaks.fwhm).float()
    for start in range(0, total, size):
        here = slice(start, min(start + size, total))
        left = max(0, int(peaks.first[here].min()))
        right = max(left, min(instrument.n_points, int(peaks.last[here].max())))
        offset = grid[left:right] - whole[here]
        outside = (offset < first[here]) | (offset >= last[here])
        x2 = offset.sub_(fraction[here]).mul_(inverse_fwhm[here]).square_()
        profile = (x2 * (-4.0 * math.log(2))).exp_().mul_(gaussian[here])
        profile.addcdiv_(lorentzian[here], x2.mul_(4.0).add_(1.0)).masked_fill_(outside, 0.0)
        low, high = int(peaks.pattern[here.start]), int(peaks.pattern[here.stop - 1])
        rows = torch.arange(low, high + 1)[:, None]
        weight = torch.where(rows == peaks.pattern[here], height[here], 0.0)
        out[low : high + 1, left:right] += weight @ profile
    return out
