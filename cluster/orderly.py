"""How is a worker that was asked to leave told from one that its task has killed?

Queueing systems end a job with SIGTERM to all its processes. Left to itself a worker process dies of it on the spot,
which looks like a crash. Here it leaves the signal to its nanny, which closes it in order: the scheduler then has an
entry saying so, and the task that was running is blamed for nothing.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from distributed import WorkerPlugin


class LeaveInOrder(WorkerPlugin):
    """Let the nanny deal with SIGTERM."""

    name = "leave-in-order"

    def setup(self, worker: Any) -> None:
        """Ignore the signal in a worker process of its own; a worker inside somebody else's program changes nothing."""
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def left_in_order(client: Any, worker_address: str) -> bool:
    """Whether the worker at this address said that it was closing."""
    return any(
        isinstance(event, dict) and event.get("action") == "closing-worker"
        for _, event in client.get_events(worker_address)
    )
