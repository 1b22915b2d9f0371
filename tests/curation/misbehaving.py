"""Work that goes wrong in every way a strangers' file has been seen to make it go wrong; run inside sandboxes only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from curation import batch

_hoard: list[bytearray] = []
_bombs: list[int] = []


def factory(settings: Any) -> Callable[[Any], Any]:
    """Do what the item says; the settings are echoed where asked for."""
    if settings == "cannot load":
        raise RuntimeError("no such library")

    def work(item: Any) -> Any:
        match item:
            case ["echo", value]:
                return value
            case "settings":
                return settings
            case "pid":
                return os.getpid()
            case "hang":
                time.sleep(3600)
            case "spin":
                while True:
                    pass
            case "hang in C":
                ctypes.PyDLL(None).pause()  # PyDLL keeps the interpreter's lock, as spglib does
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "null pointer":
                ctypes.string_at(0)
            case "hog":
                while True:
                    _hoard.append(bytearray(b"x" * 20_000_000))
            case "ask for a terabyte":
                return len(bytearray(10**12))
            case ["keep", size]:
                _hoard.append(bytearray(b"x" * size))
                return len(_hoard)
            case "exit":
                os._exit(0)
            case "raise SystemExit":
                sys.exit(3)
            case "raise":
                raise ValueError("what is this?")
            case "close everything":
                os.closerange(0, 4096)
            case "close everything and hang":
                os.closerange(0, 4096)
                time.sleep(3600)
            case "plant a bomb":  # answers, and leaves the interpreter damaged
                _bombs.append(1)
                return "planted"
            case "step here":
                if _bombs:
                    os.kill(os.getpid(), signal.SIGSEGV)
                return "all is well"
            case ["compute", seconds]:
                began = time.process_time()
                while time.process_time() - began < seconds:
                    pass
                return "computed"
            case "print":
                print("seen on the way out")
                print("and an error", file=sys.stderr)
                return "printed"
            case "print a flood":
                sys.stdout.write("x" * 10_000_000)
                return "printed"
            case "garble":
                for fd in range(3, 256):
                    with contextlib.suppress(OSError):
                        os.write(fd, b"neither header nor JSON " * 4)
                return "garbled"
            case "no JSON":
                return object()
            case "recurse":
                return work(item)
        raise AssertionError(f"no such misbehaviour: {item}")

    return work


def curator(settings: Any) -> Callable[[Any], Any]:
    """Curation, but a CIF that says `# misbehave: segfault` does so."""
    misbehave = factory(None)
    curate = batch.curator(settings)

    def work(row: Any) -> Any:
        _, marked, what = row["text"].partition("# misbehave: ")
        if marked:
            misbehave(what.strip())
        return curate(row)

    return work
