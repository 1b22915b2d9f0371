"""Execution of one task on a worker, and results small enough to pass through the scheduler."""

from __future__ import annotations

import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

_LAST_FRAMES = 6
_ERROR_CHARACTERS = 2000


@dataclass(frozen=True)
class TaskResult:
    """Receipt of a finished task, and the wall time of the function in seconds."""

    receipt: Any
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Reason why a task was not done."""

    kind: Literal["raised", "killed"]
    error: str
    traceback: str = ""
    error_type: str = ""
    errno: int | None = None
    worker: str = ""
    attempts: int = 1
    worth_retrying: bool = True

    @classmethod
    def from_exception(cls, error: BaseException) -> Failure:
        """Describe an exception as text, since exceptions of other libraries cannot always be pickled."""
        frames = traceback.format_exception(type(error), error, error.__traceback__, limit=-_LAST_FRAMES)
        return cls(
            kind="raised",
            error=f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS],
            traceback="".join(frames)[-2 * _ERROR_CHARACTERS :],
            error_type=type(error).__name__,
            errno=error.errno if isinstance(error, OSError) else None,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            # Other exceptions are repeatable; what the operating system refused may succeed a moment later.
            worth_retrying=isinstance(error, OSError | MemoryError),
        )

    @classmethod
    def from_deaths(cls, deaths: int, worker: str) -> Failure:
        """Describe a task whose worker died `deaths` times."""
        return cls(
            kind="killed",
            error=f"{deaths} workers died while running this task, the last was {worker}",
            worker=worker,
            attempts=deaths,
        )


class ReceiptTooLargeError(ValueError):
    """A task returned data where a receipt was expected."""


def perform(function: Callable[[Any], Any], argument: Any, receipt_limit_bytes: int) -> TaskResult | Failure:
    """Call `function(argument)`; return a `Failure` for an exception or a receipt over the limit."""
    start = time.perf_counter()
    try:
        receipt = function(argument)
        _check_size(receipt, receipt_limit_bytes)
    except Exception as error:  # noqa: BLE001 - reported to the caller of run_tasks
        return Failure.from_exception(error)
    return TaskResult(receipt, time.perf_counter() - start)


def _check_size(receipt: Any, limit_bytes: int) -> None:
    size = len(pickle.dumps(receipt, protocol=5))
    if size > limit_bytes:
        raise ReceiptTooLargeError(
            f"a receipt has {size} bytes, expected at most {limit_bytes}: write data to files and return their paths"
        )
