"""QMixer: space group and lattice of a measured pattern on the axis ln q.

A strided stem makes 128 tokens of 2048 bins; mixer blocks (dense over positions, then over channels) and two dense
layers follow. The crystal system is the sum over its space groups, so the two cannot contradict each other; there is a
lattice for each of the 14 Bravais lattices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

SPACE_GROUPS = 230
LATTICES = 14
SYSTEM_ENDS = (2, 15, 74, 142, 167, 194, 230)
"""Last space group of each crystal system, triclinic to cubic."""


@dataclass(frozen=True)
class QMixerConfig:
    """Sizes of the network."""

    bins: int = 2048
    stem_channels: int = 32
    channels: int = 64
    blocks: int = 2
    mixing: int = 256
    """Hidden size of the layer over positions."""
    token_features: int = 16
    hidden: int = 768
    features: int = 512
    dropout: float = 0.1


SIZES = {"small": QMixerConfig(), "large": QMixerConfig(stem_channels=64, channels=128, blocks=6)}
"""2.7 million parameters for a CPU; 3.4 million and seven times the work, that of the weights in the package."""


class QMixerOutput(NamedTuple):
    """Logits of 230 space groups, and six numbers for each Bravais lattice (pattern, 14, 6)."""

    space_group: Tensor
    lattice: Tensor

    @property
    def log_crystal_system(self) -> Tensor:
        """Log probabilities of the 7 crystal systems."""
        log_p = functional.log_softmax(self.space_group, dim=1)
        starts = (0, *SYSTEM_ENDS[:-1])
        parts = [torch.logsumexp(log_p[:, a:b], dim=1) for a, b in zip(starts, SYSTEM_ENDS, strict=True)]
        return torch.stack(parts, dim=1)


class MixerBlock(nn.Module):
    """A dense layer over positions, then one over channels, each with a residual."""

    def __init__(self, tokens: int, channels: int, mixing: int) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(channels)
        self.tokens = nn.Sequential(nn.Linear(tokens, mixing), nn.GELU(), nn.Linear(mixing, tokens))
        self.norm_channels = nn.LayerNorm(channels)
        self.channels = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Mix (batch, tokens, channels)."""
        x = x + self.tokens(self.norm_tokens(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = x + self.channels(self.norm_channels(x))
        return mixed


class QMixer(nn.Module):
    """The network; input (batch, 2, bins) of `trainer.simulate.log_q.network_input`."""

    def __init__(self, config: QMixerConfig = QMixerConfig()) -> None:
        super().__init__()
        self.config = c = config
        tokens = c.bins // 16
        self.stem = nn.Sequential(
            nn.Conv1d(2, c.stem_channels, 16, stride=4, padding=6),
            nn.GroupNorm(1, c.stem_channels),
            nn.GELU(),
            nn.Conv1d(c.stem_channels, c.channels, 8, stride=4, padding=2),
        )
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, c.channels))
        self.blocks = nn.Sequential(*(MixerBlock(tokens, c.channels, c.mixing) for _ in range(c.blocks)))
        self.reduce = nn.Sequential(nn.LayerNorm(c.channels), nn.Linear(c.channels, c.token_features))
        self.hidden = nn.Sequential(
            nn.Linear(tokens * c.token_features, c.hidden), nn.LayerNorm(c.hidden), nn.GELU(), nn.Dropout(c.dropout)
        )
        self.features = nn.Sequential(
            nn.Linear(c.hidden, c.features), nn.LayerNorm(c.features), nn.GELU(), nn.Dropout(c.dropout)
        )
        self.space_group = nn.Linear(c.features, SPACE_GROUPS)
        self.lattice = nn.Sequential(nn.Linear(c.hidden, c.features), nn.GELU(), nn.Linear(c.features, LATTICES * 6))

    def embedding(self, inputs: Tensor) -> Tensor:
        """Return the hidden layer (batch, hidden) from which groups and lattices follow."""
        x = self.stem(inputs).transpose(1, 2) + self.position
        hidden: Tensor = self.hidden(self.reduce(self.blocks(x)).flatten(1))
        return hidden

    def forward(self, inputs: Tensor) -> QMixerOutput:
        """Return logits and standardised lattices."""
        hidden = self.embedding(inputs)
        # bfloat16 would quantise lattices and logits.
        with torch.autocast(inputs.device.type, enabled=False):
            space_group = self.space_group(self.features(hidden.float()))
            lattice = self.lattice(hidden.float()).view(-1, LATTICES, 6)
        return QMixerOutput(space_group, lattice)
