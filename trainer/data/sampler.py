"""Order of an epoch: structures shuffled over all shards, a bounded pool of them in memory at a time.

The order is a function of (seed, epoch, structures, rank), so a position in it is two numbers: the epoch and the number
of batches taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Structures in memory together, and their batches as pairs (index in the pool, slot)."""

    rows: Rows
    batches: tuple[Rows, ...]


@dataclass(frozen=True)
class Sampler:
    """Plan of epochs over `rows`.

    Every structure is read once per epoch and gives `samples` of its `slots` (stored augmentations), none twice. With
    `weights`, structures are drawn with replacement in proportion to them.
    """

    rows: Rows
    batch_size: int
    samples: int = 1
    slots: int = 1
    pool_structures: int = 256
    seed: int = 0
    rank: int = 0
    world: int = 1
    shuffle: bool = True
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= self.slots:
            raise ValueError(f"{self.samples} samples of {self.slots} slots cannot be drawn without repetition")
        if self.shuffle and len(self.rows) < self.world:
            raise ValueError(f"{len(self.rows)} structures are too few for {self.world} processes")

    @property
    def structures_per_rank(self) -> int:
        """Structures per process and epoch, equal in training so that processes stay synchronised."""
        return len(self.rows) // self.world if self.shuffle else -(-len(self.rows) // self.world)

    @property
    def batches_per_epoch(self) -> int:
        """Batches per epoch; in training an incomplete last one is dropped unless it is the only one."""
        total = self.structures_per_rank * self.samples
        return max(1, total // self.batch_size) if self.shuffle else -(-total // self.batch_size)

    @property
    def structures_per_pool(self) -> int:
        """`pool_structures` rounded up so that a pool makes whole batches."""
        whole = self.batch_size // math.gcd(self.batch_size, self.samples)
        return -(-min(self.pool_structures, self.structures_per_rank) // whole) * whole

    def pools(self, epoch: int, start_batch: int = 0) -> Iterator[Pool]:
        """Yield the pools of an epoch from a batch on; pools before it are skipped."""
        order = self._order(epoch)
        size = self.structures_per_pool
        done = 0
        for number, first in enumerate(range(0, len(order), size)):
            rows = order[first : first + size]
            picks = self._picks(len(rows), epoch, number)
            cuts = range(0, len(picks), self.batch_size)
            batches = [picks[cut : cut + self.batch_size] for cut in cuts][: self.batches_per_epoch - done]
            before = done
            done += len(batches)
            if done > start_batch and batches:
                yield Pool(rows, tuple(batches[max(0, start_batch - before) :]))

    def _order(self, epoch: int) -> Rows:
        if not self.shuffle:
            return self.rows[self.rank :: self.world]
        rng = np.random.default_rng([self.seed, epoch, 0])
        if self.weights is not None:
            share = self.weights / self.weights.sum()
            order = rng.choice(self.rows, size=len(self.rows), p=share)
        else:
            order = rng.permutation(self.rows)
        return order[self.rank :: self.world][: self.structures_per_rank]

    def _picks(self, structures: int, epoch: int, number: int) -> Rows:
        local = np.repeat(np.arange(structures), self.samples)
        if not self.shuffle:
            return np.stack([local, np.tile(np.arange(self.samples), structures)], axis=1)
        rng = np.random.default_rng([self.seed, epoch, 1, number, self.rank])
        slots = rng.permuted(np.tile(np.arange(self.slots), (structures, 1)), axis=1)[:, : self.samples]
        picks = np.stack([local, slots.ravel()], axis=1)
        return rng.permutation(picks)


def balancing_weights(classes: NDArray[np.int64], power: float = 0.0) -> NDArray[np.float64]:
    """Return a weight for each structure such that a class is drawn with its frequency to a power.

    A power of 0 draws every class equally often, a power of 1 as it occurs.
    """
    _, index, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return np.asarray(counts[index] ** (power - 1.0), dtype=np.float64)
