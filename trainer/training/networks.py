"""Networks of a configuration, within limits, since a checkpoint from elsewhere may ask for any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainer.data.limits import MOST_POINTS
from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffract
from trainer.models.crystalnet import CrystalNet
from trainer.training.config import AlphaDiffractTraining, Config

MOST_PARAMETERS = 500_000_000
"""2 GB in single precision; AlphaDiffract of the paper has 9 million."""
MOST_LAYERS = 1000


def build_network(config: Config) -> nn.Module:
    """Build the network of a configuration with fresh weights; refuse sizes beyond the limits or that torch cannot."""
    _outline(config)
    return _built(config)


def load_network(config: Config, weights: Mapping[str, Tensor], where: str) -> nn.Module:
    """Build the network of a configuration with these weights, whose shapes are compared before memory is used."""
    expected = {name: tuple(value.shape) for name, value in _outline(config).state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    differ = [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
    if differ:
        shapes = f"{expected.get(differ[0], 'nothing')} and {found.get(differ[0], 'nothing')}"
        raise TrainerError(
            f"{where}: its weights do not fit its configuration: {differ[0]:.80}: expected and found {shapes}"
        )
    model = _built(config)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise TrainerError(f"{where}: its weights cannot be copied ({str(error).splitlines()[0]:.200})") from error
    return model


def _outline(config: Config) -> nn.Module:
    """Build the network without memory for its parameters, within the limits."""
    layers = _layers(config)
    points = config.model.input_points if isinstance(config, AlphaDiffractTraining) else 1
    if layers > MOST_LAYERS or points > MOST_POINTS:
        raise TrainerError(
            f"model: expected at most {MOST_LAYERS:,} layers and {MOST_POINTS:,} points, found {layers:,} and "
            f"{points:,}"
        )
    with torch.device("meta"):
        model = _built(config)
    parameters = sum(p.numel() for p in model.parameters())
    if parameters > MOST_PARAMETERS:
        raise TrainerError(f"model: expected at most {MOST_PARAMETERS:,} parameters, found {parameters:,}")
    return model


def _layers(config: Config) -> int:
    if isinstance(config, AlphaDiffractTraining):
        sizes = config.model
        hidden = (sizes.crystal_system_hidden, sizes.space_group_hidden, sizes.lattice_hidden)
        return len(sizes.channels) + sum(map(len, hidden))
    net = config.model
    return net.dense_blocks + net.formula_layers + net.regressor_blocks * net.regressor_layers


def _built(config: Config) -> nn.Module:
    try:
        if isinstance(config, AlphaDiffractTraining):
            return AlphaDiffract(config.model)
        return CrystalNet(config.model)
    except (ValueError, RuntimeError, TypeError, ArithmeticError, LookupError, AssertionError, MemoryError) as error:
        first_line: Any = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainerError(f"model: no network can be built with {config.model} ({first_line})") from error
