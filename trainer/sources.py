"""What does a batch hold? Stored patterns, stick patterns to be broadened, or densities, with their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.broaden import PARAMETERS, Parameters, Sticks
from trainer.errors import TrainerError
from trainer.models.alphadiffract import CRYSTAL_SYSTEMS, SPACE_GROUPS
from trainer.sampler import Rows

PATTERN_FILL = 65535


class Reader(Protocol):
    """What is needed of an open dataset."""

    def read(self, name: str, row: int) -> NDArray[Any]:
        """One structure's part of a variable; raises `TrainerError` where its shard is not committed."""
        ...

    def column(self, name: str) -> NDArray[Any]:
        """A variable for all structures."""
        ...

    def has(self, name: str) -> bool:
        """Whether the dataset has the variable."""
        ...


class OnDevice:
    """A batch of named tensors that moves as one."""

    def to(self, device: torch.device) -> Self:
        """The batch on a device; asynchronously where its memory is pinned."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory, from which a GPU copies while it computes."""
        return self._each(lambda value: value.pin_memory())

    def _each(self, change: Callable[[Any], Any]) -> Self:
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**{k: change(v) if isinstance(v, Tensor | Sticks) else v for k, v in values.items()})


@dataclass(frozen=True)
class Labels(OnDevice):
    """Class indices from 0, and the Niggli lattice in A and degrees."""

    crystal_system: Tensor
    space_group: Tensor
    lattice: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class PatternBatch(Labels):
    """Stored patterns (batch, two_theta) as 16-bit steps of their maximum: proportional to intensity."""

    pattern: Tensor


@dataclass(frozen=True)
class StickBatch(Labels):
    """Stick patterns to be broadened on the device."""

    sticks: Sticks


@dataclass(frozen=True)
class DensityBatch(OnDevice):
    """CrystalNet's stick vectors (batch, 1024), compositions (batch, 118), densities (batch, 50, 50, 50), e/A^3."""

    xrd_peaks: Tensor
    composition: Tensor
    density: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)


class LabelColumns:
    """The labels of all structures, checked once."""

    def __init__(self, reader: Reader, rows: Rows) -> None:
        self.crystal_system = reader.column("crystal_system").astype(np.int64) - 1
        self.space_group = reader.column("space_group").astype(np.int64) - 1
        self.lattice = reader.column("niggli").astype(np.float64)
        for name, values, count in (
            ("crystal_system", self.crystal_system, CRYSTAL_SYSTEMS),
            ("space_group", self.space_group, SPACE_GROUPS),
        ):
            wrong = rows[(values[rows] < 0) | (values[rows] >= count)]
            if len(wrong):
                raise TrainerError(
                    f"structure {wrong[0]}: {name} is {values[wrong[0]] + 1}, expected 1 to {count}; "
                    f"{len(wrong)} structures are like that: check the dataset with datagen verify"
                )
        bad = rows[~(np.isfinite(self.lattice[rows]) & (self.lattice[rows] > 0)).all(axis=1)]
        if len(bad):
            raise TrainerError(
                f"structure {bad[0]}: its Niggli cell is {self.lattice[bad[0]].tolist()}, expected six positive "
                f"numbers; {len(bad)} structures are like that: check the dataset with datagen verify"
            )

    def of(self, rows: Rows) -> dict[str, Tensor]:
        """The labels of some structures."""
        return {
            "crystal_system": torch.from_numpy(self.crystal_system[rows]),
            "space_group": torch.from_numpy(self.space_group[rows]),
            "lattice": torch.from_numpy(self.lattice[rows].astype(np.float32)),
            "row": torch.from_numpy(rows),
        }


@dataclass(frozen=True)
class PatternSource:
    """Stored patterns."""

    reader: Reader
    labels: LabelColumns

    def load(self, row: int) -> tuple[int, NDArray[np.uint16]]:
        """Row and patterns (augmentation, two_theta)."""
        patterns = self.reader.read("pattern", row)
        if (patterns == PATTERN_FILL).any() or not patterns.any(axis=1).all():
            raise TrainerError(
                f"structure {row}: its patterns are missing or empty, though its shard is committed; "
                "check the dataset with datagen verify"
            )
        return row, patterns

    def collate(self, items: list[tuple[int, NDArray[np.uint16]]], picks: Rows) -> PatternBatch:
        """A batch from (structure, augmentation)."""
        rows = np.array([items[i][0] for i, _ in picks], dtype=np.int64)
        stored = np.stack([items[i][1][slot] for i, slot in picks])
        # Whole steps up to 2^13 are exact in int16, which every device converts.
        return PatternBatch(**self.labels.of(rows), pattern=torch.from_numpy(stored.astype(np.int16)))


StickItem = tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]


@dataclass(frozen=True)
class StickSource:
    """Stick patterns; a slot is merely one more pattern of the structure."""

    reader: Reader
    labels: LabelColumns

    def load(self, row: int) -> StickItem:
        """Row, 2theta in degrees, area and line of each reflection."""
        n = int(self.reader.read("n_reflections", row))
        two_theta = self.reader.read("reflection_two_theta", row)[:n]
        intensity = self.reader.read("reflection_intensity", row)[:n]
        line = (
            self.reader.read("reflection_line", row)[:n]
            if self.reader.has("reflection_line")
            else np.zeros(n, dtype=np.uint8)
        )
        if n == 0 or not (np.isfinite(two_theta).all() and np.isfinite(intensity).all() and intensity.max() > 0):
            raise TrainerError(
                f"structure {row}: its {n} reflections are not finite positions and intensities; "
                "check the dataset with datagen verify"
            )
        return row, two_theta, intensity, line

    def collate(self, items: list[StickItem], picks: Rows) -> StickBatch:
        """A batch from (structure, slot)."""
        chosen = [items[i] for i, _ in picks]
        rows = np.array([row for row, *_ in chosen], dtype=np.int64)
        two_theta, intensity, line = (np.concatenate([item[k] for item in chosen]) for k in (1, 2, 3))
        owner = np.repeat(np.arange(len(chosen)), [len(item[1]) for item in chosen])
        tensors = (torch.from_numpy(np.ascontiguousarray(x)) for x in (two_theta, intensity, line, owner))
        two_theta_deg, area, line_number, pattern = tensors
        sticks = Sticks(two_theta_deg, area, line_number, pattern, len(chosen))
        return StickBatch(**self.labels.of(rows), sticks=sticks)


DensityItem = tuple[int, NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class DensitySource:
    """Densities with CrystalNet's inputs."""

    reader: Reader
    composition: NDArray[np.float32]

    def load(self, row: int) -> DensityItem:
        """Row, stick vector, density."""
        peaks = self.reader.read("xrd_peaks", row)
        density = self.reader.read("density", row)
        for name, values in (("xrd_peaks", peaks), ("density", density)):
            if not np.isfinite(values).all():
                raise TrainerError(
                    f"structure {row}: its {name} has values that are not finite; check the dataset with datagen verify"
                )
        return row, peaks.astype(np.float32), density.astype(np.float32)

    def collate(self, items: list[DensityItem], picks: Rows) -> DensityBatch:
        """A batch from (structure, 0)."""
        chosen = [items[i] for i, _ in picks]
        rows = np.array([row for row, *_ in chosen], dtype=np.int64)
        return DensityBatch(
            xrd_peaks=torch.from_numpy(np.stack([item[1] for item in chosen])),
            composition=torch.from_numpy(self.composition[rows].astype(np.float32)),
            density=torch.from_numpy(np.stack([item[2] for item in chosen])),
            row=torch.from_numpy(rows),
        )


def stored_parameters(reader: Reader, row: int, augmentations: Rows) -> Parameters:
    """What was drawn for stored patterns of a structure; what a dataset did not vary is zero."""
    columns = []
    for name in PARAMETERS:
        values = reader.read(name, row)[augmentations] if reader.has(name) else np.zeros(len(augmentations))
        columns.append(torch.from_numpy(np.asarray(values, dtype=np.float64)))
    return Parameters(*columns)
