"""Batches of an epoch; threads read the next pool of structures while the current one is used.

Threads instead of forked processes: zarr's event loop does not survive a fork, and decompression releases the GIL. At
most two pools and `prefetch` batches are in memory.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from trainer.data.sampler import Pool, Rows, Sampler

Item = TypeVar("Item")
Batch = TypeVar("Batch")
Item_contra = TypeVar("Item_contra", contravariant=True)
Item_co = TypeVar("Item_co", covariant=True)
Batch_co = TypeVar("Batch_co", covariant=True)


class Source(Protocol[Item, Batch_co]):
    """Reads structures and makes batches of them."""

    def load(self, row: int) -> Item:
        """Read what the samples of one structure need."""
        ...

    def collate(self, items: list[Item], picks: Rows) -> Batch_co:
        """Make a batch from pairs (item, slot)."""
        ...


@dataclass(frozen=True)
class Loader(Generic[Item, Batch]):
    """Epochs of a source in the order of a sampler."""

    source: Source[Item, Batch]
    sampler: Sampler
    workers: int = 4
    prefetch: int = 4
    finish: Callable[[Batch], Batch] | None = None
    """Applied to each batch in the reading thread, such as page-locking."""

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from `start_batch` on; errors of threads are raised here."""
        ready: queue.Queue[Batch | Exception | None] = queue.Queue(maxsize=self.prefetch)
        stop = threading.Event()
        thread = threading.Thread(
            target=self._produce, args=(epoch, start_batch, ready, stop), name="batches", daemon=True
        )
        thread.start()
        try:
            while (found := ready.get()) is not None:
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            stop.set()
            while thread.is_alive():  # it may be blocked by a full queue
                try:
                    ready.get(timeout=0.05)
                except queue.Empty:
                    continue
            thread.join()

    def _produce(
        self, epoch: int, start_batch: int, ready: queue.Queue[Batch | Exception | None], stop: threading.Event
    ) -> None:
        try:
            with ThreadPoolExecutor(self.workers, thread_name_prefix="read") as readers:
                try:
                    for pool, items in self._pools(epoch, start_batch, readers):
                        for picks in pool.batches:
                            if stop.is_set():
                                return
                            batch = self.source.collate(items, picks)
                            ready.put(self.finish(batch) if self.finish else batch)
                finally:
                    readers.shutdown(wait=True, cancel_futures=True)
            ready.put(None)
        except Exception as error:  # noqa: BLE001 - handed to the consumer, which raises it
            ready.put(error)

    def _pools(self, epoch: int, start_batch: int, readers: ThreadPoolExecutor) -> Iterator[tuple[Pool, list[Item]]]:
        """Yield pools with their structures while the next one is read."""
        previous = None
        for pool in self.sampler.pools(epoch, start_batch):
            # A resumed epoch reads a few structures that no remaining batch needs.
            coming = pool, [readers.submit(self.source.load, int(row)) for row in pool.rows]
            if previous is not None:
                yield previous[0], [future.result() for future in previous[1]]
            previous = coming
        if previous is not None:
            yield previous[0], [future.result() for future in previous[1]]
