"""Lock of a folder: one driver at a time, on any file system, released when its holder dies.

The operating system's file lock decides where it works across machines; it vanishes with its holder. Some cluster file
systems do not have it, or keep it to one machine, so the file also names its holder, which increments a counter in it:
a holder on another machine whose counter stops is gone. Clocks of other machines are not compared.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from datagen.errors import PlanError
from datagen.progress import one_line

BEAT_s = 5.0
"""Time between increments."""
WATCH_s = 30.0
"""Time without an increment after which a holder on another machine is considered gone."""
_LARGEST = 4096
_NO_SUCH_LOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


class Lock:
    """A held lock; `check` raises when another driver has taken it over."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self._holder = {**_ourselves(), "token": uuid4().hex}
        self._count = 0
        self._lost = False
        self._released = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, name="lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise if another process took the lock (possible only after a long stall)."""
        if self._lost:
            raise PlanError(
                f"{self._path}: another process took the lock while this one was stalled; "
                "let it finish, or end it and re-run the same command"
            )

    def release(self) -> None:
        """Release the lock."""
        self._released.set()
        self._thread.join()
        if not self._lost:
            os.ftruncate(self._file, 0)  # an empty file has no holder; unlinking it could admit two processes
        os.close(self._file)

    def _keep_beating(self) -> None:
        while not self._released.wait(BEAT_s):
            with contextlib.suppress(OSError):  # a full or missing disk is reported by the next write of results
                said = _read(self._path)
                if said is not None and said.get("token") != self._holder["token"]:
                    self._lost = True
                    return
                self._beat()

    def _beat(self) -> None:
        self._count += 1
        text = json.dumps({**self._holder, "count": self._count}).encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))


@contextlib.contextmanager
def locked(folder: Path, *, watch_s: float = WATCH_s) -> Iterator[Lock]:
    """Hold the folder's lock; raise an error that names its holder if it is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        works = _lock_by_system(file, path)
        _refuse_if_held(path, watch_s, system_lock_works=works)
        lock = Lock(path, file)
    except BaseException:
        os.close(file)
        raise
    try:
        yield lock
    finally:
        lock.release()


def holder(folder: Path) -> str | None:
    """Return the holder of the folder's lock as its file says; whether it is alive is known on its own machine only."""
    said = _read(folder / ".lock")
    if not said or not said.get("pid"):
        return None
    here = _ourselves()
    on_this_start = (said.get("host"), said.get("boot")) == (here["host"], here["boot"])
    gone = said.get("host") == here["host"] and not (on_this_start and _start_of(said["pid"]) == said.get("started"))
    return None if gone else _named(said)


def _lock_by_system(file: int, path: Path) -> bool:
    """Take the operating system's lock; false where the file system has none."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_SUCH_LOCK:
            return False
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise _refusal(path, _read(path) or {}) from None
        raise
    return True


def _refuse_if_held(path: Path, watch_s: float, *, system_lock_works: bool) -> None:
    holder = _read(path)
    if holder is not None and _may_be_alive(holder, path, watch_s, system_lock_works=system_lock_works):
        raise _refusal(path, holder)


def _may_be_alive(holder: dict[str, Any], path: Path, watch_s: float, *, system_lock_works: bool) -> bool:
    """Return whether the named holder may be alive although the system's lock was granted."""
    here = _ourselves()
    if (holder.get("host"), holder.get("boot")) == (here["host"], here["boot"]):
        return not system_lock_works and _start_of(holder.get("pid", 0)) == holder.get("started") is not None
    if holder.get("host") == here["host"]:
        return False  # this machine was restarted since
    end = time.monotonic() + watch_s
    while time.monotonic() < end:
        time.sleep(min(1.0, watch_s))
        now = _read(path)
        if now is None:
            return False
        if now != holder:
            return True
    return False


def _refusal(path: Path, holder: dict[str, Any]) -> PlanError:
    who = _named(holder) if holder.get("pid") else "another process"
    return PlanError(
        f"{path.parent}: {who} is using this folder; wait for it, or end it and re-run the same command "
        "(finished work is kept)"
    )


def _named(holder: dict[str, Any]) -> str:
    return f"process {holder['pid']} on {one_line(holder['host'], 80)}"


def _read(path: Path) -> dict[str, Any] | None:
    """Return the holder that the file names; half-written, it differs from the next reading."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode(errors="backslashreplace")
    except FileNotFoundError:
        return None
    if not text.strip():
        return None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {"garbled": text}
    if isinstance(said, dict) and type(said.get("pid")) is int and isinstance(said.get("host"), str):
        return said
    return {"garbled": text}


def _ourselves() -> dict[str, Any]:
    return {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def _boot() -> str:
    """Return an identifier of the current boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """Return the start time of a process in ticks: a later process with the same number has another."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return None
