"""Batches: stored patterns, reflections to broaden, or densities, with their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.reflections import Sticks as StoredSticks
from trainer.data.sampler import Rows
from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.models.alphadiffract import CRYSTAL_SYSTEMS, SPACE_GROUPS
from trainer.simulate.broaden import Members, Sticks
from trainer.simulate.parameters import NEUTRAL, STRAINED_CELL, WIDE, Parameters
from trainer.simulate.second_phases import density_g_cm3

PATTERN_FILL = 65535
Array = NDArray[np.float64]


class OnDevice:
    """A batch of named tensors that moves between devices as one."""

    def to(self, device: torch.device) -> Self:
        """Copy the batch to a device, asynchronously from page-locked memory."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Copy the batch to page-locked memory, from which a GPU copies asynchronously."""
        return self._each(lambda value: value.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        def changed(value: Any) -> Any:
            if value is None:
                return None
            return value.each(change) if isinstance(value, Sticks | Densities) else change(value)

        return type(self)(**{f.name: changed(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Labels(OnDevice):
    """Class indices from 0, and the Niggli cell in A and degrees."""

    crystal_system: Tensor
    space_group: Tensor
    lattice: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class PatternBatch(Labels):
    """Stored patterns (batch, two_theta) as integers proportional to intensity."""

    pattern: Tensor


@dataclass(frozen=True)
class StickBatch(Labels):
    """Reflections to broaden on the device."""

    sticks: Sticks
    density: Tensor | None = None
    """Mass densities, g/cm^3, where crystals are mixed."""


@dataclass(frozen=True)
class Densities:
    """Densities of a batch: places in a table (structure, 50, 50, 50), e/A^3."""

    table: Tensor
    place: Tensor
    shared: bool = False
    """Whether the table is that of a split, which stays where it is."""

    @classmethod
    def of(cls, table: Tensor) -> Densities:
        """Return a table as the densities of a batch."""
        return cls(table, torch.arange(len(table)))

    @property
    def whole(self) -> Tensor:
        """Densities (batch, 50, 50, 50)."""
        return self.table[self.place]

    def each(self, change: Callable[[Tensor], Tensor]) -> Densities:
        """Move what belongs to the batch."""
        return Densities(self.table if self.shared else change(self.table), change(self.place), self.shared)


@dataclass(frozen=True)
class DensityBatch(OnDevice):
    """CrystalNet's stick vectors (batch, 1024), compositions (batch, 118) and densities."""

    xrd_peaks: Tensor
    composition: Tensor
    densities: Densities
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    @property
    def density(self) -> Tensor:
        """Densities (batch, 50, 50, 50), e/A^3."""
        return self.densities.whole


class LabelColumns:
    """Labels of all structures, checked once."""

    def __init__(self, dataset: Dataset, rows: Rows) -> None:
        self.crystal_system = dataset.column("crystal_system").astype(np.int64) - 1
        self.space_group = dataset.column("space_group").astype(np.int64) - 1
        self.lattice = dataset.column("niggli").astype(np.float64)
        for name, values, count in (
            ("crystal_system", self.crystal_system, CRYSTAL_SYSTEMS),
            ("space_group", self.space_group, SPACE_GROUPS),
        ):
            wrong = rows[(values[rows] < 0) | (values[rows] >= count)]
            if len(wrong):
                raise TrainerError(
                    f"structure {wrong[0]}: {name} is {values[wrong[0]] + 1}, expected 1 to {count}; "
                    f"the same is wrong in {len(wrong)} structures; run datagen verify on the dataset"
                )
        bad = rows[~(np.isfinite(self.lattice[rows]) & (self.lattice[rows] > 0)).all(axis=1)]
        if len(bad):
            raise TrainerError(
                f"structure {bad[0]}: its Niggli cell is {self.lattice[bad[0]].tolist()}, expected six positive "
                f"numbers; the same is wrong in {len(bad)} structures; run datagen verify on the dataset"
            )

    def of(self, rows: Rows) -> dict[str, Tensor]:
        """Return the labels of some structures."""
        return {
            "crystal_system": torch.from_numpy(self.crystal_system[rows]),
            "space_group": torch.from_numpy(self.space_group[rows]),
            "lattice": torch.from_numpy(self.lattice[rows].astype(np.float32)),
            "row": torch.from_numpy(rows),
        }


@dataclass(frozen=True)
class PatternSource:
    """Source of stored patterns."""

    dataset: Dataset
    labels: LabelColumns

    def load(self, row: int) -> tuple[int, NDArray[np.uint16], Array | None]:
        """Read row, patterns (augmentation, two_theta) and the cell of each, where cells are strained."""
        patterns = self.dataset.stored_pattern(row)
        if (patterns == PATTERN_FILL).any() or not patterns.any(axis=1).all():
            raise TrainerError(
                f"{self.dataset.path}: structure {row}: its patterns are missing or empty, though its shard is "
                "committed; run datagen verify on the dataset"
            )
        cells = None
        if self.dataset.has(STRAINED_CELL):
            cells = np.asarray(self.dataset.values(STRAINED_CELL, row), dtype=np.float64)
            if not (np.isfinite(cells) & (cells > 0)).all():
                raise TrainerError(
                    f"{self.dataset.path}: structure {row}: its {STRAINED_CELL} has cells that are not positive "
                    "numbers; run datagen verify on the dataset"
                )
        return row, patterns, cells

    def collate(self, items: list[tuple[int, NDArray[np.uint16], Array | None]], picks: Rows) -> PatternBatch:
        """Make a batch from pairs (structure, augmentation)."""
        rows = np.array([items[i][0] for i, _ in picks], dtype=np.int64)
        stored = np.stack([items[i][1][slot] for i, slot in picks])
        labels = self.labels.of(rows)
        cells = [each[slot] for each, slot in ((items[i][2], slot) for i, slot in picks) if each is not None]
        if cells:
            labels["lattice"] = torch.from_numpy(np.stack(cells).astype(np.float32))
        # Values up to 2^13 fit int16, which every device supports.
        return PatternBatch(**labels, pattern=torch.from_numpy(stored.astype(np.int16)))


@dataclass(frozen=True)
class StickSource:
    """Source of reflections; a slot is one more pattern of the structure."""

    dataset: Dataset
    labels: LabelColumns
    resident: Mapping[int, StoredSticks] = field(default_factory=dict)
    """Reflections that are in memory already."""
    density: Array | None = None
    """Mass densities of all structures, where crystals are mixed."""

    def load(self, row: int) -> tuple[int, StoredSticks]:
        """Read row and reflections."""
        sticks = self.resident.get(row) or self.dataset.sticks(row)
        numbers = sticks.two_theta_deg, sticks.intensity
        if not all(len(x) and np.isfinite(x).all() and x.min() >= 0 and x.max() > 0 for x in numbers):
            raise TrainerError(
                f"{self.dataset.path}: structure {row}: its {len(sticks.intensity)} reflections are not finite "
                "positions and areas; run datagen verify on the dataset"
            )
        return row, sticks

    def collate(self, items: list[tuple[int, StoredSticks]], picks: Rows) -> StickBatch:
        """Make a batch from pairs (structure, slot)."""
        rows = np.array([items[i][0] for i, _ in picks], dtype=np.int64)
        density = None if self.density is None else torch.from_numpy(self.density[rows])
        return StickBatch(
            **self.labels.of(rows), sticks=stick_tensors([items[i][1] for i, _ in picks]), density=density
        )


def stick_tensors(chosen: list[StoredSticks]) -> Sticks:
    """Join the reflections of a batch as `broaden` expects them."""

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(sticks, name) for sticks in chosen]))

    owner = np.repeat(np.arange(len(chosen)), [len(sticks.intensity) for sticks in chosen])
    members = None
    if all(sticks.member_hkl is not None for sticks in chosen):
        pairs = np.concatenate([sticks.members for sticks in chosen if sticks.members is not None])
        metrics = [sticks.reciprocal_metric for sticks in chosen if sticks.reciprocal_metric is not None]
        members = Members(
            joined("member_hkl"),
            joined("member_intensity"),
            torch.from_numpy(np.repeat(np.arange(len(owner)), pairs)),
            torch.from_numpy(np.stack(metrics)),
            _rotations([sticks.rotations for sticks in chosen if sticks.rotations is not None], len(chosen)),
        )
    columns = joined("two_theta_deg"), joined("intensity"), joined("line"), torch.from_numpy(owner)
    return Sticks(*columns, len(chosen), members)


def _rotations(groups: list[NDArray[np.int8]], n: int) -> Tensor | None:
    """Return the rotations of all structures, padded with zeros; None unless all have them."""
    if len(groups) < n:
        return None
    padded = np.zeros((n, max(len(group) for group in groups), 3, 3), dtype=np.int8)
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    return torch.from_numpy(padded)


@dataclass(frozen=True)
class DensitySource:
    """Source of densities with CrystalNet's inputs."""

    dataset: Dataset
    composition: NDArray[np.float32]

    def load(self, row: int) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
        """Read row, stick vector and density."""
        peaks, density = self.dataset.xrd_peaks(row), self.dataset.density(row)
        for name, values in (("xrd_peaks", peaks), ("density", density)):
            if not np.isfinite(values).all():
                raise TrainerError(
                    f"{self.dataset.path}: structure {row}: its {name} has values that are not finite; "
                    "run datagen verify on the dataset"
                )
        return row, peaks, density

    def collate(self, items: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]], picks: Rows) -> DensityBatch:
        """Make a batch from pairs (structure, 0)."""
        chosen = [items[i] for i, _ in picks]
        rows = np.array([row for row, *_ in chosen], dtype=np.int64)
        return DensityBatch(
            xrd_peaks=torch.from_numpy(np.stack([peaks for _, peaks, _ in chosen])),
            composition=torch.from_numpy(self.composition[rows]),
            densities=Densities.of(torch.from_numpy(np.stack([density for *_, density in chosen]))),
            row=torch.from_numpy(rows),
        )


def densities_of(dataset: Dataset) -> Array:
    """Return the mass densities of all structures of a dataset, g/cm^3."""
    composition, n_atoms, volume = (dataset.column(name) for name in ("composition", "n_atoms", "volume"))
    return density_g_cm3(composition, n_atoms, volume)


def stored_parameters(dataset: Dataset, row: int) -> Parameters:
    """Read the parameters of the stored patterns of a structure; those that the dataset did not vary have no effect."""
    n = dataset.n_augmentations
    values: dict[str, NDArray[Any]] = {
        name: np.full((n, WIDE[name]) if name in WIDE else n, low) for name, (low, _) in NEUTRAL.items()
    }
    del values["impurity_peaks"], values["second_phases"]
    values |= {name: np.tile([0, 0, 1], (n, 1)) for name in ("march_hkl", "size_hkl")}
    none = (
        "impurity_height",
        "impurity_position",
        "phase_fraction",
        "phase_number",
        "phase_microstrain",
        "phase_size_um",
    )
    values |= dict.fromkeys(none, np.zeros((n, 0)))
    stored = {name: dataset.values(name, row) for name in values if dataset.has(name)}
    return Parameters(**{name: torch.from_numpy(np.asarray(v, np.float64)) for name, v in (values | stored).items()})
