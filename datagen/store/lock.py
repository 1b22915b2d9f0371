"""Is somebody else at work in this folder? One driver at a time, whoever dies, on whatever file system.

The operating system's file lock decides where it works across machines; it vanishes with its holder. Some cluster file
systems do not have it, or keep it to one machine, so the file also names its holder, who counts up in it: a holder
elsewhere whose count stands still while we watch is gone. No clock of another machine is ever read.
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

BEAT_s = 5.0
"""How often a holder counts up."""
WATCH_s = 30.0
"""How long the count of a holder on another machine is watched before it is taken to be gone."""
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
        """Say so if somebody took the folder over, which happens only when we stood still for long."""
        if self._lost:
            raise PlanError(
                f"{self._path}: another process took this folder over while this one stood still; "
                "let that one finish, or end it and give the same command again"
            )

    def release(self) -> None:
        """Let others in."""
        self._released.set()
        self._thread.join()
        if not self._lost:
            os.ftruncate(self._file, 0)  # an empty file names nobody; unlinking it would let two in at once
        os.close(self._file)

    def _keep_beating(self) -> None:
        while not self._released.wait(BEAT_s):
            with contextlib.suppress(OSError):  # a full or vanished disk: whoever writes results will say it better
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
    """Hold the folder's lock, or refuse with a sentence that says who holds it."""
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
    """Who is at work in the folder, as far as its files tell; whether they still live only their own machine knows."""
    said = _read(folder / ".lock")
    if not said or not said.get("pid"):
        return None
    here = _ourselves()
    on_this_start = (said.get("host"), said.get("boot")) == (here["host"], here["boot"])
    gone = said.get("host") == here["host"] and not (on_this_start and _start_of(said["pid"]) == said.get("started"))
    return None if gone else f"process {said['pid']} on {said['host']}"


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
    """Whether whoever the file names could still be at work, although the system's lock did not stop us."""
    here = _ourselves()
    if (holder.get("host"), holder.get("boot")) == (here["host"], here["boot"]):
        return not system_lock_works and _start_of(holder.get("pid", 0)) == holder.get("started") is not None
    if holder.get("host") == here["host"]:
        return False  # this machine has been started anew since
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
    who = f"process {holder['pid']} on {holder['host']}" if holder.get("pid") else "another process"
    return PlanError(
        f"{path.parent}: {who} is at work here; wait for it, or end it and give the same command again "
        "(what is finished stays)"
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Who the file names; a half-written line names somebody whose count has changed by the next look."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    if not text.strip():
        return None
    try:
        said = json.loads(text)
    except ValueError:
        return {"garbled": text}
    return said if isinstance(said, dict) else {"garbled": text}


def _ourselves() -> dict[str, Any]:
    return {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def _boot() -> str:
    """What tells one start of this machine from the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """When a process of this machine began, in the kernel's ticks: tells it from a later one with the same number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return None
