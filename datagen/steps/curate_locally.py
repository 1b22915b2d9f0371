"""Who judges the batches: the threads of this process, each keeping a sandbox busy, or whoever the caller brings."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from catalogs.record import Record
from curation.batch import FACTORY, Receipt, curate_batch
from curation.sandbox import Limits, Sandbox, SandboxInterruptedError
from curation.settings import CurationSettings
from datagen.steps.staging import Batch, Staged
from datagen.store.lock import Lock


class Progress:
    """Events of curation, from several threads; this class ignores them."""

    def reading(self) -> None:
        """Called before the catalogs are read."""

    def read(self, record: Record) -> None:
        """Called after a record was read."""

    def judging(self, total: int, finished: Counter[str]) -> None:
        """Called before curation; of `total` records, an earlier run finished some, counted by reason."""

    def started(self) -> None:
        """Called when the workers begin."""

    def judged(self, row: dict[str, Any]) -> None:
        """Called after each verdict, by executors that see each."""

    def finished(self, receipt: Receipt) -> None:
        """Called after each batch, by executors that see whole batches."""


@dataclass(frozen=True)
class Judging:
    """What the judging of batches needs to know."""

    settings: CurationSettings
    limits: Limits
    staged: Staged
    key: str
    """Kept with every finished batch: it counts only under the same key."""
    progress: Progress
    lock: Lock


Judge = Callable[[Judging, list[Batch]], Iterable[Receipt]]


def judge_here(judging: Judging, batches: list[Batch], *, processes: int) -> list[Receipt]:
    """Receipts of all batches, in the order they were finished, from so many sandboxes on this machine."""
    judging.progress.started()
    return _Work(judging).do(batches, processes)


@dataclass
class _Work:
    """The judging of what is left to do, by threads that each keep a sandbox busy."""

    judging: Judging
    _sandboxes: list[Sandbox] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def do(self, batches: list[Batch], processes: int) -> list[Receipt]:
        """Receipts of all batches, in the order they were finished."""
        receipts: list[Receipt] = []
        left = iter(batches)
        take = threading.Lock()

        def next_batch() -> Batch | None:
            with take:
                return None if self._stop.is_set() else next(left, None)

        n_threads = max(1, min(processes, len(batches)))
        settings = self.judging.settings.model_dump(mode="json")
        self._sandboxes = [Sandbox(FACTORY, settings, self.judging.limits) for _ in range(n_threads)]
        with ThreadPoolExecutor(n_threads, thread_name_prefix="curate") as pool:
            futures = [pool.submit(self._keep_busy, sandbox, next_batch, receipts) for sandbox in self._sandboxes]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._end_if_needed(any(not future.done() for future in futures))
        failures = [error for future in futures if (error := future.exception()) is not None]
        # An interrupted sandbox is a consequence; what caused it is what a person has to know.
        for error in sorted(failures, key=lambda error: isinstance(error, SandboxInterruptedError)):
            raise error
        return receipts

    def _keep_busy(self, sandbox: Sandbox, next_batch: Callable[[], Batch | None], receipts: list[Receipt]) -> None:
        judging = self.judging
        with sandbox:
            while (batch := next_batch()) is not None:
                judging.lock.check()
                staged = judging.staged
                receipt = curate_batch(
                    staged.path_of(batch),
                    staged.verdicts_of(batch),
                    judging.settings,
                    judging.limits,
                    key=judging.key,
                    sandbox=sandbox,
                    on_verdict=judging.progress.judged,
                )
                receipts.append(receipt)

    def _end_if_needed(self, unfinished: bool) -> None:
        if unfinished:  # Ctrl-C, or another thread failed
            self._stop.set()
            for sandbox in self._sandboxes:
                sandbox.interrupt()
