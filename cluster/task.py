"""What happens on a worker: one task is done, and what it says is small enough to travel."""

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
class Outcome:
    """A task done: its receipt, and the wall time in seconds that the function took."""

    receipt: Any
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Why a task was not done."""

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
        """The exception in words: objects of other libraries do not always survive the journey."""
        frames = traceback.format_exception(type(error), error, error.__traceback__, limit=-_LAST_FRAMES)
        return cls(
            kind="raised",
            error=f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS],
            traceback="".join(frames)[-2 * _ERROR_CHARACTERS :],
            error_type=type(error).__name__,
            errno=error.errno if isinstance(error, OSError) else None,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            # The same input gives the same mistake; what the machine refused may be granted a moment later.
            worth_retrying=isinstance(error, OSError | MemoryError),
        )

    @classmethod
    def from_deaths(cls, deaths: int, worker: str) -> Failure:
        """The worker died, `deaths` times, and nothing is left to tell why."""
        return cls(
            kind="killed",
            error=f"{deaths} workers died while running this task, the last was {worker}",
            worker=worker,
            attempts=deaths,
        )


class ReceiptTooLargeError(ValueError):
    """A task returned data where a receipt was expected."""


def perform(function: Callable[[Any], Any], argument: Any, receipt_limit_bytes: int) -> Outcome | Failure:
    """Call `function(argument)`; an exception becomes a `Failure`, a receipt over the limit too."""
    begun = time.perf_counter()
    try:
        receipt = function(argument)
        _weigh(receipt, receipt_limit_bytes)
    except Exception as error:  # noqa: BLE001 - the caller of run_tasks is told of each
        return Failure.from_exception(error)
    return Outcome(receipt, time.perf_counter() - begun)


def _weigh(receipt: Any, limit_bytes: int) -> None:
    size = len(pickle.dumps(receipt, protocol=5))
    if size > limit_bytes:
        raise ReceiptTooLargeError(
            f"a receipt has {size} bytes, at most {limit_bytes} may pass through the scheduler: "
            "write data to files and return where they are"
        )
