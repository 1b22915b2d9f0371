"""Workers that were asked to leave, told apart from workers that a task killed.

Queueing systems end a job with SIGTERM to all its processes. By default a worker process dies of it at once, which
looks like a crash. With this plugin the worker ignores the signal and its nanny closes it: the scheduler then has an
event that says so, and no task is blamed. Ctrl-C in a terminal reaches workers of this machine too; the driver handles
it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from distributed import WorkerPlugin


class GracefulExit(WorkerPlugin):
    """Leave SIGTERM to the nanny and SIGINT to the driver."""

    name = "graceful-exit"

    def setup(self, worker: Any) -> None:
        """Ignore both signals, only in a process that belongs to the worker alone."""
        if worker.nanny is not None and threading.current_thread() is threading.main_thread():
            # Not SIG_IGN, which programs started by a task would inherit: they could not be terminated then.
            signal.signal(signal.SIGTERM, _ignore)
            signal.signal(signal.SIGINT, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: another process handles the signal."""


def closed_gracefully(client: Any, worker_address: str) -> bool:
    """Return whether the worker at this address announced that it was closing."""
    return any(
        isinstance(event, dict) and event.get("action") == "closing-worker"
        for _, event in client.get_events(worker_address)
    )
