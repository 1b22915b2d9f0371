"""AlphaDiffract: a 1D ConvNeXt of three blocks and three heads (arXiv:2603.23367, Sec. 5.3).

Choices that the paper leaves open:

- Block 1 turns one channel into 80. Its depthwise convolution has 80 filters on the one channel (a norm over a single
  channel would erase the signal), and its residual is a 1x1 projection.
- The norm is ConvNeXt's: over the channels of each point.
- 560 features = 80 channels x 7 points come out of 8192 points where each block is followed by average pooling of its
  stride (5) and by average pooling of kernel 3 and stride 2: 8192, 1638, 818, 163, 81, 16, 7.
- The heads' hidden layers end in ReLU.

Deviations from the paper are off by default, and needed for small datasets: `input_pool` averages points first,
`standardise_input` gives every pattern zero mean and unit variance (on 0..100 the first thousands of steps learn
nothing), and `lattice_start` starts the lattice at the mean of the training split, a unit of output being about its
standard deviation, instead of at the middle of its bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CRYSTAL_SYSTEMS = 7
SPACE_GROUPS = 230
LATTICE_PARAMETERS = 6
LATTICE_STARTS = ("middle", "training")
TILE = 16
"""Points per row of the first convolution as a matrix product."""
FLAT = 1e-6
"""Least standard deviation, for constant patterns."""


@dataclass(frozen=True)
class AlphaDiffractConfig:
    """Sizes of the network; the defaults are the paper's (Tables 6 and 7)."""

    input_points: int = 8192
    channels: tuple[int, ...] = (80, 80, 80)
    kernels: tuple[int, ...] = (100, 50, 25)
    strides: tuple[int, ...] = (5, 5, 5)
    second_pool: tuple[int, int] | None = (3, 2)
    expansion: int = 4
    drop_path: float = 0.3
    crystal_system_hidden: tuple[int, ...] = (2300, 1150)
    space_group_hidden: tuple[int, ...] = (2300, 1150)
    lattice_hidden: tuple[int, ...] = (512, 256)
    length_bounds_A: tuple[float, float] = (0.0, 500.0)
    angle_bounds_deg: tuple[float, float] = (0.0, 180.0)
    input_pool: int = 1
    standardise_input: bool = False
    lattice_start: str = "middle"

    def __post_init__(self) -> None:
        if self.lattice_start not in LATTICE_STARTS:
            raise ValueError(
                f"lattice_start: expected one of {', '.join(LATTICE_STARTS)}, found {self.lattice_start!r}"
            )
        if self.input_pool < 1:
            raise ValueError(f"input_pool: expected at least 1, found {self.input_pool}")


class Prediction(NamedTuple):
    """Logits of the two classifications and the six lattice parameters (a, b, c in A; alpha, beta, gamma in deg)."""

    crystal_system: Tensor
    space_group: Tensor
    lattice: Tensor


class AlphaDiffract(nn.Module):
    """Predicts crystal system, space group and Niggli lattice from a pattern standardised to 0..100."""

    def __init__(self, config: AlphaDiffractConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AlphaDiffractConfig()
        inputs = (1, *config.channels[:-1])
        stages: list[nn.Module] = []
        for n_in, n_out, kernel, stride in zip(inputs, config.channels, config.kernels, config.strides, strict=True):
            stages.append(ConvNeXtBlock(n_in, n_out, kernel, config.expansion, config.drop_path))
            stages.append(nn.AvgPool1d(stride))
            if config.second_pool is not None:
                stages.append(nn.AvgPool1d(*config.second_pool))
        self.extractor = nn.Sequential(*stages)
        features = config.channels[-1] * pooled_points(config)
        self.crystal_system = head(features, config.crystal_system_hidden, CRYSTAL_SYSTEMS)
        self.space_group = head(features, config.space_group_hidden, SPACE_GROUPS)
        self.lattice = head(features, config.lattice_hidden, LATTICE_PARAMETERS)
        bounds = torch.tensor([config.length_bounds_A] * 3 + [config.angle_bounds_deg] * 3)
        self.lower: Tensor
        self.upper: Tensor
        self.register_buffer("lower", bounds[:, 0], persistent=False)
        self.register_buffer("upper", bounds[:, 1], persistent=False)
        # p -> start + unit p before the sigmoid; stored with the weights if the training split decides them.
        kept = config.lattice_start == "training"
        self.start: Tensor
        self.unit: Tensor
        self.register_buffer("start", torch.zeros(LATTICE_PARAMETERS), persistent=kept)
        self.register_buffer("unit", torch.ones(LATTICE_PARAMETERS), persistent=kept)

    def start_lattice_at(self, mean: Tensor, deviation: Tensor) -> None:
        """Map output 0 to `mean` and, to first order, a unit of output to `deviation` (a, b, c; angles)."""
        where = (mean - self.lower) / (self.upper - self.lower)
        if not ((where > 0) & (where < 1)).all():
            raise ValueError(
                f"the mean lattice {[round(x, 3) for x in mean.tolist()]} is outside the bounds of the model, "
                f"{self.lower.tolist()} to {self.upper.tolist()}; widen length_bounds_A or angle_bounds_deg"
            )
        slope = (self.upper - self.lower) * where * (1.0 - where)
        self.start.copy_(torch.logit(where))
        self.unit.copy_(deviation / slope)

    def prepare(self, pattern: Tensor) -> Tensor:
        """Return the input (batch, 1, point) of the first block for patterns (batch, two_theta)."""
        x = pattern.unsqueeze(1)
        if self.config.input_pool > 1:
            x = functional.avg_pool1d(x, self.config.input_pool)
        if self.config.standardise_input:
            x = (x - x.mean(dim=2, keepdim=True)) / x.std(dim=2, keepdim=True).clamp_min(FLAT)
        return x

    def features(self, pattern: Tensor) -> Tensor:
        """Return the features (batch, 560) of patterns (batch, two_theta)."""
        x = self.prepare(pattern)
        for block, kernel, stride in pooled_blocks(self.extractor):
            x = block.pooled(x, kernel, stride)
        return x.flatten(1)

    def heads(self, features: Tensor) -> Prediction:
        """Return the predictions of the three heads; y = sigmoid(p) (UB - LB) + LB for the lattice (eq. 4)."""
        raw = self.start + self.unit * in_full_precision(self.lattice, features)
        lattice = torch.sigmoid(raw) * (self.upper - self.lower) + self.lower
        system, group = (in_full_precision(head, features) for head in (self.crystal_system, self.space_group))
        return Prediction(system, group, lattice)

    def forward(self, pattern: Tensor) -> Prediction:
        """Predict from patterns (batch, two_theta)."""
        return self.heads(self.features(pattern))


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, pointwise expansion, GELU, pointwise projection; the input added (ConvNeXt, 1D)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, expansion: int, drop_path: float) -> None:
        super().__init__()
        if n_out % n_in:
            raise ValueError(f"channels: expected a multiple of {n_in} for a depthwise convolution, found {n_out}")
        self.pad = ((kernel - 1) // 2, kernel // 2)  # even kernels are padded by one more on the right
        self.depthwise = nn.Conv1d(n_in, n_out, kernel, groups=n_in)
        self.norm = nn.LayerNorm(n_out)
        self.expand = nn.Linear(n_out, expansion * n_out)
        self.project = nn.Linear(expansion * n_out, n_out)
        self.residual = nn.Identity() if n_in == n_out else nn.Conv1d(n_in, n_out, 1)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_in, points) to (batch, n_out, points)."""
        branch = self.project(self._expanded(x)).transpose(1, 2)
        return self.residual(x) + self.drop_path(branch)  # type: ignore[no-any-return]

    def pooled(self, x: Tensor, kernel: int, stride: int) -> Tensor:
        """Return the output averaged over points; averaging commutes with projection, residual and drop path."""
        hidden = functional.avg_pool2d(self._expanded(x).unsqueeze(1), (kernel, 1), (stride, 1)).squeeze(1)
        residual = self.residual(functional.avg_pool1d(x, kernel, stride))
        return residual + self.drop_path(self.project(hidden).transpose(1, 2))  # type: ignore[no-any-return]

    def _expanded(self, x: Tensor) -> Tensor:
        """Map (batch, n_in, points) to hidden features (batch, points, expansion x n_out)."""
        if x.shape[1] == 1:
            branch = self._convolved_by_product(x[:, 0])
        else:
            branch = self.depthwise(functional.pad(x, self.pad)).transpose(1, 2)
        return functional.gelu(self.expand(self.norm(branch)))

    def _convolved_by_product(self, x: Tensor) -> Tensor:
        """Convolve one channel (batch, points) by a matrix product that makes TILE points per row."""
        weight, bias = self.depthwise.weight[:, 0], self.depthwise.bias
        channels, kernel = weight.shape
        batch, points = x.shape
        rows = -(-points // TILE)
        width = TILE + kernel - 1
        padded = functional.pad(x, (self.pad[0], rows * TILE + kernel - 1 - points - self.pad[0]))
        # Row t of the Toeplitz matrix is the filters shifted by t points.
        shifted = functional.pad(weight.t(), (0, 0, 0, TILE)).repeat(TILE, 1)[: TILE * width]
        toeplitz = shifted.view(TILE, width, channels).transpose(0, 1).reshape(width, TILE * channels)
        product = padded.unfold(1, width, TILE).reshape(batch * rows, width) @ toeplitz
        found: Tensor = product.view(batch, rows * TILE, channels)[:, :points]
        return found if bias is None else found + bias


def pooled_blocks(extractor: nn.Sequential) -> list[tuple[ConvNeXtBlock, int, int]]:
    """Return each block with kernel and stride of the poolings behind it.

    Windows of the first pooling do not overlap, so two poolings are one: AvgPool(5), AvgPool(3, 2) is AvgPool(15, 10).
    """
    found: list[tuple[ConvNeXtBlock, int, int]] = []
    for stage in extractor:
        if isinstance(stage, ConvNeXtBlock):
            found.append((stage, 1, 1))
        else:
            assert isinstance(stage, nn.AvgPool1d)
            block, kernel, stride = found.pop()
            (size,), (step,) = _as_tuple(stage.kernel_size), _as_tuple(stage.stride)
            found.append((block, kernel + (size - 1) * stride, stride * step))
    return found


def _as_tuple(value: int | tuple[int]) -> tuple[int]:
    return (value,) if isinstance(value, int) else value


class DropPath(nn.Module):
    """Stochastic depth: in training, drops the branch of a sample with this probability, keeping the mean."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Drop or keep the branch of each sample."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        kept = torch.empty(x.shape[0], *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * kept / keep


def in_full_precision(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply layers, the last one in single precision whatever autocast says.

    In bfloat16, lattices near 5 A would come in steps of 0.16 A.
    """
    hidden: Tensor = layers[:-1](x)
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(hidden.float(), last.weight.float(), last.bias.float())


def head(features: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Return a multi-layer perceptron with ReLU after each hidden layer."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip((features, *hidden[:-1]), hidden, strict=True):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))


def pooled_points(config: AlphaDiffractConfig) -> int:
    """Return the number of points after all pooling."""
    points = config.input_points // config.input_pool
    for stride in config.strides:
        points //= stride
        if config.second_pool is not None:
            kernel, step = config.second_pool
            points = (points - kernel) // step + 1
    if points < 1:
        raise ValueError(f"pooling leaves no point of {config.input_points}")
    return points
