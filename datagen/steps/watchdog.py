"""A time limit for code that cannot be interrupted; it ends the process."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process when the block takes longer, after printing its stack.

    Compiled code may hold the interpreter lock and delay signals; faulthandler's thread needs neither.
    The cluster replaces the dead worker, and the run finds the structure by probing.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
