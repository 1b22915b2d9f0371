"""Curation of batches by a local pool of sandboxes, and the interface that other executors implement."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalogs.record import Record
from curation.batch import FACTORY, Receipt, curate_batch
from curation.sandbox import Limits, Sandbox, SandboxInterruptedError
from curation.settings import CurationSettings
from datagen.progress import Figures
from datagen.steps.staging import Batch
from datagen.store.lock import Lock


class Progress:
    """Events of curation, from several threads; this class ignores them."""

    def curating(self, total: int | None, finished: Counter[str]) -> None:
        """Called before the first batch is curated; an earlier run finished some records, counted by reason.

        `total` is None as long as the catalogs are being read.
        """

    def read(self, record: Record) -> None:
        """Called after a record was read."""

    def all_read(self, total: int) -> None:
        """Called after the last record was read."""

    def working(self, figures: Figures) -> None:
        """Called about once a second by executors with workers."""

    def curated(self, row: dict[str, Any]) -> None:
        """Called after each verdict, by executors that see each."""

    def finished(self, receipt: Receipt) -> None:
        """Called after each batch that an executor sees whole, or that an earlier run had finished."""


@dataclass(frozen=True)
class CurationWork:
    """Settings, folder and callbacks that an executor needs."""

    settings: CurationSettings
    limits: Limits
    folder: Path
    """Of staged records and verdicts."""
    key: str
    """Kept with every finished batch: it counts only under the same key."""
    progress: Progress
    lock: Lock


CurateBatches = Callable[[CurationWork, Iterator[Batch | None]], Iterable[Receipt]]
"""Batches come as they are read, and None while the next is still being read."""


def curate_locally(work: CurationWork, batches: Iterator[Batch | None], *, processes: int) -> list[Receipt]:
    """Return the receipts of all batches, in the order they were finished, from `processes` local sandboxes."""
    return _Work(work).do(batches, processes)


@dataclass
class _Work:
    """Threads that each keep a sandbox busy."""

    work: CurationWork
    _sandboxes: list[Sandbox] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def do(self, batches: Iterator[Batch | None], processes: int) -> list[Receipt]:
        """Return the receipts of all batches, in the order they were finished."""
        receipts: list[Receipt] = []
        take = threading.Lock()

        def next_batch() -> Batch | None:
            with take:
                for batch in batches:
                    if self._stop.is_set():
                        return None
                    if batch is not None:
                        return batch
            return None

        settings = self.work.settings.model_dump(mode="json")
        self._sandboxes = [Sandbox(FACTORY, settings, self.work.limits) for _ in range(processes)]
        with ThreadPoolExecutor(processes, thread_name_prefix="curate") as pool:
            futures = [pool.submit(self._keep_busy, sandbox, next_batch, receipts) for sandbox in self._sandboxes]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._end_if_needed(any(not future.done() for future in futures))
        failures = [error for future in futures if (error := future.exception()) is not None]
        # An interrupted sandbox is a consequence: raise its cause.
        for error in sorted(failures, key=lambda error: isinstance(error, SandboxInterruptedError)):
            raise error
        return receipts

    def _keep_busy(self, sandbox: Sandbox, next_batch: Callable[[], Batch | None], receipts: list[Receipt]) -> None:
        work = self.work
        batch = next_batch()
        if batch is None:
            return
        with sandbox:
            while batch is not None:
                work.lock.check()
                receipt = curate_batch(
                    work.folder / batch.file,
                    work.folder / batch.verdicts,
                    work.settings,
                    work.limits,
                    key=work.key,
                    sandbox=sandbox,
                    on_verdict=work.progress.curated,
                )
                receipts.append(receipt)
                batch = next_batch()

    def _end_if_needed(self, unfinished: bool) -> None:
        if unfinished:  # Ctrl-C, or another thread failed
            self._stop.set()
            for sandbox in self._sandboxes:
                sandbox.interrupt()
