"""Device and rank of this process, from the environment of torchrun, and collective operations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from trainer.errors import TrainerError


@dataclass(frozen=True)
class Place:
    """A process's device and its rank among ``world`` processes."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


def start(device: str = "auto") -> Place:
    """Join the processes of torchrun, if any, and choose a device."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    chosen = _device(device)
    if world > 1:
        if chosen.type == "cuda":
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(chosen)
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Place(chosen, rank, world)


def alone(device: str = "auto") -> Place:
    """Choose a device without joining other processes."""
    return Place(_device(device))


def _device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise TrainerError("--device cuda: torch finds no CUDA device; use --device cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise TrainerError(f"--device {device}: expected cpu, cuda or cuda:N ({str(error).splitlines()[0]})") from error


def finish(place: Place) -> None:
    """Leave the process group."""
    if place.world > 1:
        distributed.destroy_process_group()


def sum_over_processes(sums: Mapping[str, Tensor], place: Place) -> dict[str, float]:
    """Add named sums over all processes."""
    stacked = torch.stack([value.double().reshape(()) for value in sums.values()]).to(place.device)
    if place.world > 1:
        distributed.all_reduce(stacked)
    return dict(zip(sums, stacked.tolist(), strict=True))


def gather(states: dict[str, Tensor], place: Place) -> dict[str, Tensor]:
    """Collect the tensors of all processes, named `name-rank`."""
    if place.world == 1:
        return {f"{name}-0": state for name, state in states.items()}
    everyone: list[dict[str, Tensor] | None] = [None] * place.world
    distributed.all_gather_object(everyone, states)
    return {f"{name}-{rank}": state for rank, theirs in enumerate(everyone) for name, state in (theirs or {}).items()}


def same_for_all(value: tuple[int, ...], place: Place) -> tuple[int, ...]:
    """Return the value of the first process, since processes may see different states of a shared file system."""
    if place.world == 1:
        return value
    shared: list[tuple[int, ...]] = [value]
    distributed.broadcast_object_list(shared, src=0)
    return shared[0]


def agree(flag: bool, place: Place) -> bool:
    """Return whether the flag is set in any process."""
    if place.world == 1:
        return flag
    raised = torch.tensor(float(flag), device=place.device)
    distributed.all_reduce(raised)
    return raised.item() > 0


def largest(value: float, place: Place) -> float:
    """Return the largest value of all processes, such as the seconds on their clocks."""
    if place.world == 1:
        return value
    found = torch.tensor(value, dtype=torch.float64, device=place.device)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return float(found.item())
