"""States of the random generators of a run, of all its processes."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.errors import TrainerError
from trainer.training.distributed import Place


def generator_states(noise: torch.Generator, place: Place) -> dict[str, Tensor]:
    """Return the states of this process's generators."""
    states = {"torch": torch.get_rng_state(), "noise": noise.get_state()}
    if place.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(place.device)
    return states


def restore_generators(states: dict[str, Tensor], noise: torch.Generator, place: Place) -> None:
    """Set this process's generators to the states of a checkpoint."""
    mine = {name.removesuffix(f"-{place.rank}"): s for name, s in states.items() if name.endswith(f"-{place.rank}")}
    wanted = set(generator_states(noise, place))
    if set(mine) != wanted or len(states) != len(wanted) * place.world:
        raise TrainerError(
            "expected the number of processes and kind of device that wrote the checkpoint, found others; resume with "
            "those"
        )
    torch.set_rng_state(mine["torch"])
    noise.set_state(mine["noise"])
    if place.device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], place.device)
