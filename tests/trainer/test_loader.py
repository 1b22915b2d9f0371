"""The loader delivers what the sampler plans, with bounded reading ahead, and hands errors on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from trainer.data.loader import Loader
from trainer.data.sampler import Rows, Sampler


class Counting:
    """A source of rows that remembers what was read."""

    def __init__(self, bad: int | None = None) -> None:
        self.read: list[int] = []
        self.bad = bad
        self._lock = threading.Lock()

    def load(self, row: int) -> int:
        if row == self.bad:
            raise OSError(f"row {row} cannot be read")
        with self._lock:
            self.read.append(row)
        return row

    def collate(self, items: list[int], picks: Rows) -> list[tuple[int, int]]:
        return [(items[i], int(slot)) for i, slot in picks]


def planned(sampler: Sampler, epoch: int, start: int = 0) -> list[list[tuple[int, int]]]:
    pools = sampler.pools(epoch, start)
    return [[(int(p.rows[i]), int(s)) for i, s in batch] for p in pools for batch in p.batches]


@pytest.mark.parametrize("start", [0, 7])
def test_batches_come_in_the_planned_order_whatever_the_number_of_threads(start: int) -> None:
    sampler = Sampler(np.arange(100), 6, 2, 3, pool_structures=9)
    for workers in (1, 5):
        assert list(Loader(Counting(), sampler, workers).epoch(3, start)) == planned(sampler, 3, start)


def test_reading_ahead_stops_at_two_pools_and_the_queue() -> None:
    source = Counting()
    epoch = Loader(source, Sampler(np.arange(1000), 5, pool_structures=10), workers=2, prefetch=3).epoch(0)
    next(epoch)
    time.sleep(0.2)
    assert len(source.read) <= 10 + 10 + 2 * 10
    epoch.close()


def test_an_error_while_reading_reaches_the_consumer_and_threads_end() -> None:
    loader = Loader(Counting(bad=17), Sampler(np.arange(40), 4, pool_structures=8), workers=3)
    before = threading.active_count()
    with pytest.raises(OSError, match="row 17 cannot be read"):
        list(loader.epoch(0))
    assert threading.active_count() == before


def test_a_consumer_that_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    epoch = Loader(Counting(), Sampler(np.arange(500), 2, pool_structures=4), workers=3).epoch(0)
    next(epoch)
    epoch.close()
    assert threading.active_count() == before


def test_the_last_touch_is_given_to_every_batch() -> None:
    loader = Loader(Counting(), Sampler(np.arange(8), 4), finish=lambda batch: [*batch, (99, 99)])
    assert all(batch[-1] == (99, 99) for batch in loader.epoch(0))
