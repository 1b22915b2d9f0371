"""Child processes for untrusted input: a hang, a crash or exhausted memory affects one item only.

A child interpreter processes many items. It is a subprocess that exchanges length-prefixed JSON over private pipes:
without pickle, without forking a threaded process, and usable inside daemonic workers. Its output is captured. After a
failure it is killed, and the next item runs in a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from curation.sandbox_process import (
    ChildLostError,
    ChildProcess,
    FailureReason,
    SandboxError,
    SandboxInterruptedError,
    memory_detail,
)

__all__ = [
    "FailureReason",
    "Limits",
    "Sandbox",
    "SandboxError",
    "SandboxFailure",
    "SandboxInterruptedError",
    "borrowed_sandbox",
    "close_idle",
]


class Limits(BaseModel):
    """Limits of time and memory for one item."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Time limit of an item, in seconds: CPU time while it computes, clock time while it waits."""
    memory_GB: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    """Memory limit of an item beyond the loaded libraries, in GB (10^9 bytes)."""


@dataclass(frozen=True, slots=True)
class SandboxFailure:
    """An item without a result: reason, reproducible detail, and the end of its output."""

    reason: FailureReason
    detail: str
    output: str = ""
    seconds: float = 0.0


class Sandbox:
    """Calls `factory(settings)(item)` in a child interpreter; `factory` is named as `package.module:function`.

    The factory runs once for each child, outside the limits: put loading and warming up there. Items, settings and
    results are JSON values. Use as a context manager, from one thread at a time.
    """

    def __init__(self, factory: str, settings: Any = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._order = {
            "path": [str(Path(p).absolute()) for p in sys.path],
            "factory": factory,
            "settings": settings,
            "memory_bytes": int(self.limits.memory_GB * 1e9),
        }
        self._interrupted = threading.Event()
        self._child: ChildProcess | None = None
        self._spare: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the child and wait until it is ready; otherwise the first call does."""
        self._ready_child()

    def resident_bytes(self) -> float:
        """Return the memory that the child takes now; 0 without one."""
        return self._child.resident_bytes() if self._child is not None else 0.0

    def interrupt(self) -> None:
        """Make the current call, in any thread, and all later ones raise `SandboxInterruptedError`."""
        self._interrupted.set()

    def close(self) -> None:
        """End the children; calling again starts new ones."""
        for child in (self._child, self._spare):
            if child is not None:
                child.kill()
        self._child = self._spare = None

    def call(self, item: Any) -> Any | SandboxFailure:
        """Return the function's result for an item, or the failure.

        An item that fails in a used child, or in one killed from outside, is retried once in a new child, so that
        earlier items cannot cause its failure.
        """
        payload = json.dumps(item, separators=(",", ":")).encode("ascii")
        child = self._ready_child()
        blameless = child.served > 0
        outcome = self._attempt(child, payload)
        if isinstance(outcome, SandboxFailure) and (
            (blameless and outcome.reason != "timeout") or child.signal == signal.SIGKILL
        ):
            outcome = self._attempt(self._ready_child(), payload)
        return outcome

    def _attempt(self, child: ChildProcess, payload: bytes) -> Any | SandboxFailure:
        began = time.monotonic()
        try:
            answer = child.exchange(payload, self.limits.seconds, self._order["memory_bytes"], self._start_spare)
        except ChildLostError as lost:
            self._child = None
            child.kill()
            return SandboxFailure(lost.reason, lost.detail, child.output(), time.monotonic() - began)
        except BaseException:
            self.close()  # a late answer must not be taken for the next item's
            raise
        if "result" in answer:
            if child.memory_bytes() > self._order["memory_bytes"] / 2:
                self._discard()  # memory kept by one item must not count for the next
            return answer["result"]
        self._discard()
        seconds = time.monotonic() - began
        if "out_of_memory" in answer:
            return SandboxFailure("out_of_memory", memory_detail(self._order["memory_bytes"]), child.output(), seconds)
        trace = str(answer["raised"])
        return SandboxFailure("raised", trace.strip().rsplit("\n", 1)[-1][:500], trace, seconds)

    def _discard(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None

    def _start_spare(self) -> None:
        """Start a replacement while a slow item is still running."""
        if self._spare is None:
            self._spare = ChildProcess(self._order, self._interrupted)

    def _ready_child(self) -> ChildProcess:
        if self._child is None:
            self._child, self._spare = self._spare or ChildProcess(self._order, self._interrupted), None
            try:
                self._child.wait_ready()
            except BaseException:
                self.close()
                raise
        return self._child


_idle: dict[str, list[Sandbox]] = {}


@contextlib.contextmanager
def borrowed_sandbox(factory: str, settings: Any, limits: Limits) -> Iterator[Sandbox]:
    """Yield a sandbox that stays warm in this process for the next call with the same arguments."""
    key = json.dumps([os.getpid(), factory, settings, limits.model_dump()], sort_keys=True)
    try:
        sandbox = _idle.get(key, []).pop()
    except IndexError:
        sandbox = Sandbox(factory, settings, limits)
    try:
        yield sandbox
    except BaseException:
        sandbox.close()
        raise
    _idle.setdefault(key, []).append(sandbox)


def close_idle() -> None:
    """Close the idle sandboxes."""
    while _idle:
        for sandbox in _idle.popitem()[1]:
            sandbox.close()


atexit.register(close_idle)
