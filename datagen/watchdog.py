"""A limit on the time one structure may take, for code that cannot be interrupted: past it, the process ends itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process by SIGKILL when the block takes longer.

    Compiled code holds the interpreter and heeds neither exceptions nor SIGTERM. The cluster sees a dead worker, starts
    another, and the run finds out which structure it was and sets it aside. A timer thread is enough: our kernels
    release the GIL, as GSAS-II's child process does by being one.
    """
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
