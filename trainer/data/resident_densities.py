"""Densities of a split kept in memory, on the device where they fit, so that none is decompressed for a few points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.sampler import Rows
from trainer.data.sources import Densities, DensityBatch, DensitySource


@dataclass(frozen=True, eq=False)
class ResidentDensitySource:
    """Source of densities that are in memory; batches hold places in it."""

    rows: Rows
    """Ascending."""
    xrd_peaks: Tensor
    composition: NDArray[np.float32]
    densities: Tensor
    on_device: bool
    """Whether the densities are where the network is; otherwise those of a batch are copied there."""

    def load(self, row: int) -> int:
        """Return the place of a structure."""
        return int(np.searchsorted(self.rows, row))

    def collate(self, items: Sequence[int], picks: Rows) -> DensityBatch:
        """Make a batch from pairs (structure, 0)."""
        place = torch.tensor([items[i] for i, _ in picks], dtype=torch.int64)
        rows = self.rows[place.numpy()]
        stacked = Densities(self.densities, place, shared=True)
        return DensityBatch(
            xrd_peaks=self.xrd_peaks[place],
            composition=torch.from_numpy(self.composition[rows]),
            densities=stacked if self.on_device else Densities.of(stacked.whole),
            row=torch.from_numpy(rows),
        )


def resident_densities(
    source: DensitySource, rows: Rows, most_bytes: float, device: torch.device, workers: int
) -> ResidentDensitySource | DensitySource:
    """Read the densities of a split into memory; return the source as it is if they take more than `most_bytes`.

    They move to a GPU if they take at most half of its free memory.
    """
    rows = np.unique(rows)
    _, peaks, first = source.load(int(rows[0]))
    size = len(rows) * first.nbytes
    if size > min(most_bytes, 0.5 * _physical_memory()):
        return source
    densities = np.empty((len(rows), *first.shape), dtype=np.float32)
    sticks = np.empty((len(rows), *peaks.shape), dtype=np.float32)

    def read(place: int) -> None:
        _, sticks[place], densities[place] = source.load(int(rows[place]))

    with ThreadPoolExecutor(workers, thread_name_prefix="read") as readers:
        for _ in readers.map(read, range(len(rows))):
            pass
    table = torch.from_numpy(densities)
    if device.type == "cuda" and size <= 0.5 * torch.cuda.mem_get_info(device)[0]:
        table = table.to(device)
    on_device = table.device.type == device.type
    return ResidentDensitySource(rows, torch.from_numpy(sticks), source.composition, table, on_device)


def _physical_memory() -> float:
    """Return the memory of the machine in bytes."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
