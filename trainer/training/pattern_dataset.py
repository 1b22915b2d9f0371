"""`trainer.PatternDataset`: patterns and labels of a dataset for any torch `DataLoader`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from trainer.data.location import Folder
from trainer.data.sources import LabelColumns, PatternSource, StickSource, densities_of, stick_tensors
from trainer.data.store import Dataset, open_dataset
from trainer.data.zipped import Zipped
from trainer.errors import TrainerError
from trainer.simulate.background import without_background
from trainer.simulate.broaden import broaden
from trainer.simulate.noise import add_noise
from trainer.simulate.parameters import Instrument, draw_parameters
from trainer.simulate.second_phases import Phases
from trainer.simulate.strained import strained_cells
from trainer.training.config import INPUTS
from trainer.training.datasets import augmentation_of

PHASES_AT_ONCE = 4
"""Structures read as second phases of the patterns of a call."""


class PatternDataset(TorchDataset[dict[str, Tensor]]):
    """Patterns of the committed structures of a split, each with its labels.

    An item is a dict of tensors: `pattern` (two_theta, in single precision, relative to the highest point before
    noise), `crystal_system` (1 to 7), `space_group` (1 to 230), `niggli` (a, b, c in A, angles in degrees, strained as
    the pattern is) and `row`, the structure's index in the dataset.

    Parameters
    ----------
    path: folder, `.zarr.zip`, URL or registered name of a dataset.
    split: train, validation or test; None for all structures.
    input: `"patterns"` reads stored patterns, `"sticks"` broadens the reflections with fresh parameters.
    samples: patterns of each structure; by default all that are stored, or one from sticks. Of more stored patterns
        each access takes one at random.
    noise: add AlphaDiffract's counting and Gaussian noise.
    seed: makes every item the same at each access; without it random numbers come from torch's generator, which
        `DataLoader` seeds in each worker and epoch.
    """

    def __init__(
        self,
        path: str | Path,
        split: str | None = "train",
        input: str = "patterns",  # noqa: A002 - the name used by `trainer fit`
        samples: int | None = None,
        noise: bool = False,
        seed: int | None = None,
    ) -> None:
        if input not in INPUTS:
            raise TrainerError(f"input: expected one of {', '.join(INPUTS)}, found {input!r}")
        self.input = input
        self.noise = noise
        self.seed = seed
        self.split = split
        self._dataset = dataset = open_dataset(path)
        self._process = os.getpid()
        self.rows = dataset.rows(split)
        self._labels = LabelColumns(dataset, self.rows)
        self.samples = samples if samples is not None else dataset.n_augmentations if input == "patterns" else 1
        if self.samples < 1 or (input == "patterns" and self.samples > dataset.n_augmentations):
            most = f" to {dataset.n_augmentations}, which are stored" if input == "patterns" else " or more"
            raise TrainerError(f"{dataset.path}: samples: expected 1{most}, found {self.samples}")
        if input == "sticks":
            self._instrument = Instrument.of_attributes(dataset.instrument)
            self._augmentation = augmentation_of(dataset)
            self._densities = densities_of(dataset) if self._augmentation.mixes else None

    @property
    def two_theta_deg(self) -> Tensor:
        """Angles of the patterns."""
        return torch.from_numpy(self._opened.two_theta_deg)

    def __len__(self) -> int:
        return len(self.rows) * self.samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Tensor]]:
        """Return several items; a structure that several of them need is read once."""
        numbers = [range(len(self))[int(index)] for index in indices]
        rows = self.rows[[number // self.samples for number in numbers]]
        generators = [self._generator(number) for number in numbers]
        if self.input == "sticks":
            patterns, cells = self._broadened(rows, generators)
        else:
            patterns, cells = self._stored(rows, [number % self.samples for number in numbers], generators)
            if self.noise:
                patterns = _each(patterns, generators, add_noise)
        labels = self._labels.of(rows)
        return [
            {
                "pattern": pattern,
                "crystal_system": labels["crystal_system"][i] + 1,
                "space_group": labels["space_group"][i] + 1,
                "niggli": cells[i],
                "row": labels["row"][i],
            }
            for i, pattern in enumerate(patterns)
        ]

    def __repr__(self) -> str:
        return (
            f"PatternDataset({self._dataset.path}, split={self.split!r}, input={self.input!r}: {len(self.rows):,} "
            f"structures, {self.samples} patterns each{', with noise' if self.noise else ''})"
        )

    def _generator(self, number: int) -> torch.Generator | None:
        if self.seed is None:
            return None
        (seed,) = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seed >> np.uint64(1)))

    def _stored(self, rows: Any, slots: list[int], generators: list[torch.Generator | None]) -> tuple[Tensor, Tensor]:
        source = PatternSource(self._opened, self._labels)
        read = {int(row): source.load(int(row)) for row in np.unique(rows)}
        stored = self._opened.n_augmentations
        if self.samples < stored:
            slots = [int(torch.randint(stored, (), generator=generator)) for generator in generators]
        picks = np.array([[i, slot] for i, slot in enumerate(slots)])
        batch = source.collate([read[int(row)] for row in rows], picks)
        return batch.pattern.float() * self._opened.pattern_step, batch.lattice

    def _broadened(self, rows: Any, generators: list[torch.Generator | None]) -> tuple[Tensor, Tensor]:
        source = StickSource(self._opened, self._labels)
        read = {int(row): source.load(int(row))[1] for row in np.unique(rows)}
        lattice = self._labels.of(rows)["lattice"]

        def made(numbers: list[int], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
            sticks = stick_tensors([read[int(rows[i])] for i in numbers])
            phases = self._phases(source, rows[numbers], generator)
            n_phases = 0 if phases is None else len(phases.density)
            parameters = draw_parameters(self._augmentation, len(numbers), torch.device("cpu"), generator, n_phases)
            found = broaden(sticks, parameters, self._instrument, phases, subtract=False)
            found = found / found.amax(dim=1, keepdim=True)
            if self.noise:
                found = add_noise(found, generator)
            cells = strained_cells(sticks, parameters, lattice[numbers])
            return without_background(found, parameters.background_window), cells

        if self.seed is None:
            return made(list(range(len(rows))), None)
        patterns, cells = zip(*(made([i], generator) for i, generator in enumerate(generators)), strict=True)
        return torch.cat(patterns), torch.cat(cells)

    def _phases(self, source: StickSource, rows: Any, generator: torch.Generator | None) -> Phases | None:
        """Return other structures of the split, from which second phases are taken."""
        if self._densities is None:
            return None
        others = self.rows[torch.randint(len(self.rows), (PHASES_AT_ONCE,), generator=generator).numpy()]
        sticks = stick_tensors([source.load(int(row))[1] for row in others])
        density, own = (torch.from_numpy(self._densities[which]) for which in (others, rows))
        return Phases(sticks, density, own)

    @property
    def _opened(self) -> Dataset:
        """The dataset, opened again in a process that was forked: zarr's threads do not survive a fork."""
        if os.getpid() != self._process:
            if not isinstance(self._dataset.path, Folder | Zipped):
                raise TrainerError(
                    f"{self._dataset.path}: a remote dataset cannot be read in forked workers; give the DataLoader "
                    'multiprocessing_context="spawn", or num_workers=0'
                )
            self._dataset = self._dataset.reopened()
            self._process = os.getpid()
        return self._dataset

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _process=os.getpid())


def _each(patterns: Tensor, generators: list[torch.Generator | None], change: Any) -> Tensor:
    """Apply a function to all patterns together, or one by one if each has its generator."""
    if generators[0] is None:
        found: Tensor = change(patterns)
        return found
    return torch.cat([change(one[None], generator) for one, generator in zip(patterns, generators, strict=True)])
