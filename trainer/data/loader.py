"""How do batches reach the training loop? Threads read the next pool of structures while the current one is used.

Threads, not forked processes: zarr keeps an event loop of its own that does not survive a fork, and decompression lets
other threads run. At most two pools and ``prefetch`` batches are in memory.
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
    """Where structures are read from, and how picks of them make a batch."""

    def load(self, row: int) -> Item:
        """Everything of one structure that any of its samples needs."""
        ...

    def collate(self, items: list[Item], picks: Rows) -> Batch_co:
        """A batch from pairs (item, slot)."""
        ...


@dataclass(frozen=True)
class Loader(Generic[Item, Batch]):
    """Reads epochs of a source in a sampler's order."""

    source: Source[Item, Batch]
    sampler: Sampler
    workers: int = 4
    prefetch: int = 4
    finish: Callable[[Batch], Batch] | None = None
    """Last touch, still in the thread: page-locking."""

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The epoch's batches from ``start_batch`` on; an error in a thread is raised here."""
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
            while thread.is_alive():  # it may be waiting for room in the queue
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
        """Pools with their structures, the next one being read meanwhile."""
        previous = None
        for pool in self.sampler.pools(epoch, start_batch):
            # Structures that no remaining batch takes (a resumed epoch) need not be read, but are few: all are.
            coming = pool, [readers.submit(self.source.load, int(row)) for row in pool.rows]
            if previous is not None:
                yield previous[0], [future.result() for future in previous[1]]
            previous = coming
        if previous is not None:
            yield previous[0], [future.result() for future in previous[1]]
