"""How is a worker that was asked to leave told from one that its task has killed?

Queueing systems end a job with SIGTERM to all its processes. Left to itself a worker process dies of it on the spot,
which looks like a crash. Here it leaves the signal to its nanny, which closes it in order: the scheduler then has an
entry saying so, and the task that was running is blamed for nothing. An interrupt from the terminal, which reaches
every process started there, is the driver's to answer.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from distributed import WorkerPlugin


class LeaveInOrder(WorkerPlugin):
    """Let the nanny deal with SIGTERM, and the driver with Ctrl-C."""

    name = "leave-in-order"

    def setup(self, worker: Any) -> None:
        """Pass over both signals in a process of the worker's own; inside somebody else's program change nothing."""
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            # Not SIG_IGN, which programs that a task starts would inherit: they could not be terminated then.
            signal.signal(signal.SIGTERM, _pass_over)
            signal.signal(signal.SIGINT, _pass_over)


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Somebody else answers."""


def left_in_order(client: Any, worker_address: str) -> bool:
    """Whether the worker at this address said that it was closing."""
    return any(
        isinstance(event, dict) and event.get("action") == "closing-worker"
        for _, event in client.get_events(worker_address)
    )
