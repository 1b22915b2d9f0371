"""Program of a sandbox's child process: read items, process and answer them until the parent exits.

`curation.sandbox_process` runs it as a script; it imports only the standard library before it loads the factory.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import select
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

HEADER = struct.Struct("<4sQQ")
"""Magic, serial number of the message, length of the JSON that follows."""
MAGIC = b"pxrd"


def main(request_fd: int, answer_fd: int, lifeline_fd: int) -> None:
    """Load the factory that the first message names, then answer messages."""
    _die_with_parent(lifeline_fd)
    for fd in (request_fd, answer_fd, lifeline_fd):
        os.set_inheritable(fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is for the parent, which then ends us
    faulthandler.enable(all_threads=False)
    hello = _receive(request_fd)
    if hello is None:
        return
    serial, order = hello
    try:
        sys.path[:] = order["path"]
        module, _, name = order["factory"].partition(":")
        work: Callable[[Any], Any] = getattr(importlib.import_module(module), name)(order["settings"])
        _limit_memory(order["memory_bytes"])
    except Exception:  # noqa: BLE001 - the parent reports it as broken machinery, with this text
        _send(answer_fd, serial, {"raised": traceback.format_exc()})
        return
    _send(answer_fd, serial, {"result": None})
    while (message := _receive(request_fd)) is not None:
        serial, item = message
        try:
            answer = _encode({"result": work(item)})
        except MemoryError:
            answer = b'{"out_of_memory": true}'
        except BaseException:  # noqa: BLE001 - SystemExit too: an item must not end the interpreter quietly
            answer = _encode({"raised": traceback.format_exc()})
        write_message(answer_fd, serial, answer)


def _die_with_parent(lifeline_fd: int) -> None:
    """Make the kernel kill this process when the parent's end of the lifeline closes, even inside a hung C call.

    Not PR_SET_PDEATHSIG: that fires when the parent's *thread* ends, and sandboxes outlive threads of a pool.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):  # elsewhere than Linux the request pipe's end does
        import fcntl

        fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline_fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, fcntl.fcntl(lifeline_fd, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline_fd], [], [], 0)[0]:
        os._exit(1)  # the parent was gone before we asked


def _limit_memory(memory_bytes: int) -> None:
    """Make allocations fail beyond the limit, counted from the address space that the libraries use."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - pathlib is not loaded here
            reserved = int(statm.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = reserved + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _send(fd: int, serial: int, value: Any) -> None:
    write_message(fd, serial, _encode(value))


def write_message(fd: int, serial: int, payload: bytes) -> None:
    """Write one framed message, however many writes it takes."""
    left = memoryview(HEADER.pack(MAGIC, serial, len(payload)) + payload)
    while left:
        left = left[os.write(fd, left) :]


def _receive(fd: int) -> tuple[int, Any] | None:
    header = _read(fd, HEADER.size)
    if header is None:
        return None
    _, serial, length = HEADER.unpack(header)
    payload = _read(fd, length)
    return None if payload is None else (serial, json.loads(payload))


def _read(fd: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(fd, min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
