"""A limit on the time one structure may take, for code that cannot be interrupted: past it, the process ends itself."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process at once when the block takes longer, after printing where it stands.

    Compiled code may hold the interpreter and heed neither exceptions nor signals; faulthandler's thread is not
    Python's. The cluster sees a dead worker, starts another, and the run finds out which structure it was.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
