"""CrystalNet: a variational encoder of pattern and composition that conditions a density field.

Guo et al., Towards End-to-End Structure Solutions from Information-Compromised Diffraction Data via Generative Deep
Learning (2024). Two details follow the published code instead of the text: the Fourier phases are multiplied by
2 pi (`fourier_scale`), and 1e-4 is added inside log(sigma^2) of the loss (`training/losses.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

XRD_BINS = 1024
ELEMENTS = 118
COMPOSITIONS = ("ratios", "elements", "drop-one", "none")


@dataclass(frozen=True)
class CrystalNetConfig:
    """Sizes of the network; defaults of the paper."""

    composition: str = "ratios"
    width: int = 512
    fusion_width: int = 1024
    growth: int = 8
    dense_blocks: int = 4
    formula_layers: int = 3
    fourier_frequencies: int = 128
    fourier_sigma: float = 3.0
    fourier_scale: float = 2.0 * math.pi
    regressor_blocks: int = 4
    regressor_layers: int = 4

    def __post_init__(self) -> None:
        if self.composition not in COMPOSITIONS:
            raise ValueError(f"composition: expected one of {', '.join(COMPOSITIONS)}, found {self.composition!r}")


class Latent(NamedTuple):
    """A Gaussian over embeddings: mean and sigma (of either sign), each (crystal, width)."""

    mean: Tensor
    sigma: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return mu + epsilon sigma (eq. 2)."""
        return self.mean + noise * self.sigma


class Encoding(NamedTuple):
    """Latent distributions of a batch of crystals; `formula` is None if composition is not an input."""

    pattern: Latent
    formula: Latent | None


class CrystalNet(nn.Module):
    """Predicts the density in e/A^3 at fractional positions from pattern and composition."""

    def __init__(self, config: CrystalNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CrystalNetConfig()
        width = config.width
        self.pattern_mean = PatternEncoder(config)
        self.pattern_sigma = PatternEncoder(config)
        if config.composition != "none":
            self.formula_mean = formula_encoder(config)
            self.formula_sigma = formula_encoder(config)
        self.film_scale = fusion(config)
        self.film_shift = fusion(config)
        self.position = PositionEncoder(config)
        blocks = [regressor_block(width, config)]
        blocks += [regressor_block(2 * width, config) for _ in range(config.regressor_blocks - 1)]
        self.regressor = nn.ModuleList(blocks)
        self.density = nn.Linear(width, 1)

    def encode(self, pattern: Tensor, composition: Tensor) -> Encoding:
        """Encode patterns (crystal, 1024) and compositions (crystal, 118)."""
        of_pattern = Latent(self.pattern_mean(pattern), self.pattern_sigma(pattern))
        if self.config.composition == "none":
            return Encoding(of_pattern, None)
        return Encoding(of_pattern, Latent(self.formula_mean(composition), self.formula_sigma(composition)))

    def sample(self, encoding: Encoding, generator: torch.Generator | None = None) -> Tensor:
        """Draw a joint embedding (crystal, 2 width)."""
        drawn = []
        for latent in encoding:
            if latent is None:
                drawn.append(torch.zeros_like(encoding.pattern.mean))
            else:
                noise = torch.randn(
                    latent.mean.shape, dtype=latent.mean.dtype, device=latent.mean.device, generator=generator
                )
                drawn.append(latent.sample(noise))
        return torch.cat(drawn, dim=1)

    def embed(self, encoding: Encoding, noise: Tensor) -> Tensor:
        """Return the joint embedding (crystal, 2 width) for given standard normal numbers of the same shape."""
        of_pattern, of_formula = noise.chunk(2, dim=1)
        pattern = encoding.pattern.sample(of_pattern)
        formula = torch.zeros_like(pattern) if encoding.formula is None else encoding.formula.sample(of_formula)
        return torch.cat([pattern, formula], dim=1)

    def decode(self, embedding: Tensor, position: Tensor) -> Tensor:
        """Return densities (crystal, point) at fractional positions (crystal, point, 3) or (point, 3)."""
        # gamma and beta depend on the crystal alone. With equally many points per crystal, batch statistics over
        # crystals equal those over points, so computing them once per crystal is exact.
        scale = self.film_scale(embedding).unsqueeze(1)
        shift = self.film_shift(embedding).unsqueeze(1)
        crystals = embedding.shape[0]
        placed = self.position(position.reshape(-1, 3)).view(*position.shape[:-1], -1)
        conditioned = (scale * placed + shift).reshape(-1, self.config.width)  # eq. 4
        x = self.regressor[0](conditioned)
        for block in self.regressor[1:]:
            x = block(torch.cat([x, conditioned], dim=1))
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would quantise densities to three digits
            density = functional.linear(x.float(), self.density.weight.float(), self.density.bias.float())
        return density.view(crystals, -1)

    def forward(
        self, pattern: Tensor, composition: Tensor, position: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Encoding]:
        """Return the density for one draw of the embedding, and the distributions that it was drawn from."""
        encoding = self.encode(pattern, composition)
        return self.decode(self.sample(encoding, generator), position), encoding


class PatternEncoder(nn.Module):
    """Densely connected convolutional network on a stick vector; layer norm over channels and points."""

    def __init__(self, config: CrystalNetConfig) -> None:
        super().__init__()
        growth, depth, points = config.growth, config.dense_blocks, XRD_BINS
        self.first = dense_layer(1, growth, points)
        self.dense_fine = nn.ModuleList([dense_layer(growth * (i + 1), growth, points) for i in range(depth)])
        self.transition = nn.Sequential(
            nn.Conv1d(growth * (depth + 1), 2 * growth, 1, bias=False),
            nn.LayerNorm([2 * growth, points]),
            nn.ReLU(),
            nn.AvgPool1d(2),
        )
        points //= 2
        self.dense_coarse = nn.ModuleList([dense_layer(growth * (i + 2), growth, points) for i in range(depth)])
        self.last = nn.Sequential(
            nn.Conv1d(growth * (depth + 2), 1, 1),
            nn.Flatten(),
            nn.Linear(points, config.width),
            nn.BatchNorm1d(config.width),
        )

    def forward(self, pattern: Tensor) -> Tensor:
        """Map (crystal, 1024) to (crystal, width)."""
        x = self.first(pattern.unsqueeze(1))
        for layer in self.dense_fine:
            x = torch.cat([x, layer(x)], dim=1)
        x = self.transition(x)
        for layer in self.dense_coarse:
            x = torch.cat([x, layer(x)], dim=1)
        return self.last(x)  # type: ignore[no-any-return]


class PositionEncoder(nn.Module):
    """Random Fourier features of centred positions, then two linear layers (eq. 3)."""

    def __init__(self, config: CrystalNetConfig) -> None:
        super().__init__()
        self.scale = config.fourier_scale
        self.frequencies: Tensor
        # A buffer: drawn once, not trained, stored with the weights.
        self.register_buffer("frequencies", config.fourier_sigma * torch.randn(config.fourier_frequencies, 3))
        self.layers = nn.Sequential(
            nn.Linear(2 * config.fourier_frequencies, config.width),
            nn.BatchNorm1d(config.width),
            nn.ReLU(),
            nn.Linear(config.width, config.width),
        )

    def forward(self, position: Tensor) -> Tensor:
        """Map fractional positions (point, 3) to (point, width)."""
        with torch.autocast(position.device.type, enabled=False):  # phases of tens of radians need full precision
            phase = self.scale * (position.float() - 0.5) @ self.frequencies.T
            features = torch.cat([torch.sin(phase), torch.cos(phase)], dim=1)
        return self.layers(features)  # type: ignore[no-any-return]


def dense_layer(n_in: int, n_out: int, points: int) -> nn.Sequential:
    """Return a convolution of kernel 3, layer norm over channels and points, and ReLU."""
    return nn.Sequential(nn.Conv1d(n_in, n_out, 3, padding=1, bias=False), nn.LayerNorm([n_out, points]), nn.ReLU())


def formula_encoder(config: CrystalNetConfig) -> nn.Sequential:
    """Return linear layers with batch norm and ReLU, no ReLU after the last."""
    layers: list[nn.Module] = []
    for n_in in (ELEMENTS, *[config.width] * (config.formula_layers - 1)):
        layers += [nn.Linear(n_in, config.width), nn.BatchNorm1d(config.width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fusion(config: CrystalNetConfig) -> nn.Sequential:
    """Return the layers from both embeddings to gamma or beta: four, with batch norm and ReLU after each."""
    sizes = (2 * config.width, *[config.fusion_width] * 3, config.width)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers)


def regressor_block(n_in: int, config: CrystalNetConfig) -> nn.Sequential:
    """Return linear layers of one width, with batch norm and ReLU after each."""
    layers: list[nn.Module] = []
    for size in (n_in, *[config.width] * (config.regressor_layers - 1)):
        layers += [nn.Linear(size, config.width), nn.BatchNorm1d(config.width), nn.ReLU()]
    return nn.Sequential(*layers)
