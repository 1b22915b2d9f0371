"""Structures that QMixer is trained on: reflections and labels of a split, of stored and of generated crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from trainer.data.read_flat_sticks import read_flat_sticks
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.simulate.artefacts import Artefacts
from trainer.simulate.flat_sticks import FlatSticks, join_sticks
from trainer.training.bravais import bravais_of_groups, to_numbers
from trainer.training.datasets import group_hashes


@dataclass(frozen=True)
class Structures:
    """Reflections and labels, one row per structure."""

    sticks: FlatSticks
    space_group: Tensor
    """From 0."""
    lattice: Tensor
    """Numbers of `bravais.to_numbers`."""
    generated: Tensor
    """Whether the crystal was made up: it has no say in how frequent a space group is."""
    group: Tensor
    """Hash of formula and space group, by which splits are made; 0: unknown."""
    d_min_A: Tensor
    """Spacing down to which reflections are known; 0: unknown, or all of them are."""

    def __len__(self) -> int:
        return len(self.space_group)

    @cached_property
    def bravais(self) -> Tensor:
        """Index in `bravais.BRAVAIS`."""
        return torch.from_numpy(bravais_of_groups()).to(self.space_group.device)[self.space_group]

    def of(self, numbers: Tensor) -> Self:
        """Return some of the structures."""
        rows = {f.name: getattr(self, f.name)[numbers] for f in fields(self) if f.name != "sticks"}
        return type(self)(sticks=self.sticks.of(numbers), **rows)

    def to(self, device: torch.device) -> Self:
        """Return the structures on a device."""
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def refuse_truncated(where: object, d_min_A: float, artefacts: Artefacts) -> None:
    """Raise if patterns would be drawn to where reflections, which end at `d_min_A`, are not known."""
    needed = artefacts.smallest_d_A
    if d_min_A > needed * (1 + 1e-4):
        raise TrainerError(
            f"{where}: its reflections end at d = {d_min_A:.4g} A and patterns would be drawn to {needed:.4g} A; make "
            "it again by datagen run or datagen render with store.d_min_A = 1.0, or end the patterns earlier with "
            "artefacts.stop_deg"
        )


def read_split(dataset: Dataset, split: str, most: int | None = None) -> Structures:
    """Read reflections and labels of a split, at most `most` structures evenly spread over it.

    Before training on them call `refuse_truncated`.
    """
    rows = dataset.rows(split)
    rows = rows[dataset.labelled[rows]]
    if most is not None and len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    sticks = read_flat_sticks(dataset, rows)
    counts = sticks.first.diff().numpy()
    if (counts < 1).any():
        rows = rows[counts > 0]
        sticks = read_flat_sticks(dataset, rows)
    if not len(rows):
        raise TrainerError(f"{dataset.path}: its split {split} has no structure with reflections in the range of ln q")
    return Structures(
        sticks,
        torch.from_numpy(dataset.column("space_group")[rows].astype(np.int64) - 1),
        torch.from_numpy(to_numbers(dataset.column("niggli")[rows].astype(np.float64))),
        torch.zeros(len(rows), dtype=torch.bool),
        torch.from_numpy(group_hashes(dataset, rows)),
        torch.full((len(rows),), dataset.d_min_A),
    )


def join(parts: Sequence[Structures]) -> Structures:
    """Return the structures of all parts, one part after another."""
    if len(parts) == 1:
        return parts[0]
    return Structures(
        join_sticks([part.sticks for part in parts]),
        torch.cat([part.space_group for part in parts]),
        torch.cat([part.lattice for part in parts]),
        torch.cat([part.generated for part in parts]),
        torch.cat([part.group for part in parts]),
        torch.cat([part.d_min_A for part in parts]),
    )


def without_groups_of(structures: Structures, others: Structures) -> Structures:
    """Return the structures whose formula and space group none of the others has, and those where that is unknown."""
    known = others.group[others.group != 0]
    return structures.of((~torch.isin(structures.group, known)).nonzero().squeeze(1))


def drawing_weights(structures: Structures, class_power: float, generated_share: float) -> Tensor:
    """Return the probability of each structure to be drawn.

    Space groups have their frequency to `class_power`, among stored and among generated crystals by themselves; the
    latter are drawn for `generated_share` of the patterns.
    """
    weights = torch.zeros(len(structures), dtype=torch.float64, device=structures.space_group.device)
    made, share = structures.generated, generated_share
    if not bool(made.any()):
        share = 0.0
    elif bool(made.all()):
        share = 1.0
    for those, part in ((~made, 1 - share), (made, share)):
        group = structures.space_group[those]
        if len(group):
            counts = torch.bincount(group, minlength=230).double()
            own = counts[group] ** (class_power - 1)
            weights[those] = part * own / own.sum()
    return weights
