"""Child processes for untrusted input: a hang, a crash or exhausted memory affects one item only.

A child interpreter processes many items. It is a subprocess that exchanges length-prefixed JSON over private pipes:
without pickle, without forking a threaded process, and usable inside daemonic workers. Its output is captured. After a
failure it is killed, and the next item runs in a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from curation.sandbox_child import HEADER, MAGIC, write_message

CHILD = Path(__file__).with_name("sandbox_child.py")
TICK_s = 0.05
"""Interval at which time and memory of an item are measured."""
START_LIMIT_s = 300.0
"""Time limit of a start: importing libraries from a cold shared file system can take minutes."""
OUTPUT_TAIL_bytes = 8192
PAGE_bytes = os.sysconf("SC_PAGE_SIZE")
CLOCK_Hz = os.sysconf("SC_CLK_TCK")

FailureReason = Literal["timeout", "crashed", "out_of_memory", "raised"]


class Limits(BaseModel):
    """Limits of time and memory for one item."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Time limit of an item, in seconds: CPU time while it computes, clock time while it waits."""
    memory_GB: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    """Memory limit of an item beyond the loaded libraries, in GB (10^9 bytes)."""


@dataclass(frozen=True, slots=True)
class SandboxFailure:
    """An item without a result: reason, reproducible detail, and the end of its output."""

    reason: FailureReason
    detail: str
    output: str = ""
    seconds: float = 0.0


class SandboxError(RuntimeError):
    """The child interpreter cannot be started, whatever the item."""


class SandboxInterruptedError(SandboxError):
    """`interrupt` was called while an item was being processed."""


class Sandbox:
    """Calls `factory(settings)(item)` in a child interpreter; `factory` is named as `package.module:function`.

    The factory runs once for each child, outside the limits: put loading and warming up there. Items, settings and
    results are JSON values. Use as a context manager, from one thread at a time.
    """

    def __init__(self, factory: str, settings: Any = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._order = {
            "path": [str(Path(p).absolute()) for p in sys.path],
            "factory": factory,
            "settings": settings,
            "memory_bytes": int(self.limits.memory_GB * 1e9),
        }
        self._interrupted = threading.Event()
        self._child: _Child | None = None
        self._spare: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the child and wait until it is ready; otherwise the first call does."""
        self._ready_child()

    def interrupt(self) -> None:
        """Make the current call, in any thread, and all later ones raise `SandboxInterruptedError`."""
        self._interrupted.set()

    def close(self) -> None:
        """End the children; calling again starts new ones."""
        for child in (self._child, self._spare):
            if child is not None:
                child.kill()
        self._child = self._spare = None

    def call(self, item: Any) -> Any | SandboxFailure:
        """Return the function's result for an item, or the failure.

        An item that fails in a used child, or in one killed from outside, is retried once in a new child, so that
        earlier items cannot cause its failure.
        """
        payload = json.dumps(item, separators=(",", ":")).encode("ascii")
        child = self._ready_child()
        blameless = child.served > 0
        outcome = self._attempt(child, payload)
        if isinstance(outcome, SandboxFailure) and (
            (blameless and outcome.reason != "timeout") or child.signal == signal.SIGKILL
        ):
            outcome = self._attempt(self._ready_child(), payload)
        return outcome

    def _attempt(self, child: _Child, payload: bytes) -> Any | SandboxFailure:
        began = time.monotonic()
        try:
            answer = child.exchange(payload, self.limits.seconds, self._order["memory_bytes"], self._start_spare)
        except _LostError as lost:
            self._child = None
            child.kill()
            return SandboxFailure(lost.reason, lost.detail, child.output(), time.monotonic() - began)
        except BaseException:
            self.close()  # a late answer must not be taken for the next item's
            raise
        if "result" in answer:
            if child.memory_bytes() > self._order["memory_bytes"] / 2:
                self._discard()  # memory kept by one item must not count for the next
            return answer["result"]
        self._discard()
        seconds = time.monotonic() - began
        if "out_of_memory" in answer:
            return SandboxFailure("out_of_memory", _memory_detail(self._order["memory_bytes"]), child.output(), seconds)
        trace = str(answer["raised"])
        return SandboxFailure("raised", trace.strip().rsplit("\n", 1)[-1][:500], trace, seconds)

    def _discard(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None

    def _start_spare(self) -> None:
        """Start a replacement while a slow item is still running."""
        if self._spare is None:
            self._spare = _Child(self._order, self._interrupted)

    def _ready_child(self) -> _Child:
        if self._child is None:
            self._child, self._spare = self._spare or _Child(self._order, self._interrupted), None
            try:
                self._child.wait_ready()
            except BaseException:
                self.close()
                raise
        return self._child


class _LostError(Exception):
    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.detail = detail


class _Child:
    """A child interpreter with its pipes; the parent's ends do not block."""

    def __init__(self, order: dict[str, Any], interrupted: threading.Event) -> None:
        self._interrupted = interrupted
        request_r, self._request = os.pipe()
        self._answer, answer_w = os.pipe()
        lifeline_r, self._lifeline = os.pipe()
        self._output, output_w = os.pipe()
        theirs = (request_r, answer_w, lifeline_r)
        one_thread = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", str(CHILD), *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                stdout=output_w,
                stderr=subprocess.STDOUT,
                pass_fds=theirs,
                start_new_session=True,
                env={**os.environ, **one_thread, "PYTHONHASHSEED": "0"},
            )
        except OSError as error:
            for fd in (self._request, self._answer, self._lifeline, self._output):
                os.close(fd)
            raise SandboxError(f"could not start {sys.executable} for a sandbox: {error}") from error
        finally:
            for fd in (*theirs, output_w):
                os.close(fd)
        hello = json.dumps(order).encode("ascii")
        with contextlib.suppress(BrokenPipeError):
            write_message(self._request, 0, hello)
        for fd in (self._request, self._answer, self._output):
            os.set_blocking(fd, False)
        self.served = 0
        """Number of items answered."""
        self.signal: int | None = None
        """Signal that ended the child, unless this process sent it."""
        self._serial = 0
        self._tail = bytearray()
        self._killed = False
        self._libraries_bytes = 0

    def wait_ready(self) -> None:
        """Wait until the factory has run."""
        try:
            answer = self._await(b"", START_LIMIT_s, None, None)
        except _LostError as lost:
            self.kill()
            raise SandboxError(f"a sandbox did not start: {lost.detail}\n{self.output()}".strip()) from None
        if "raised" in answer:
            raise SandboxError(f"a sandbox could not load its factory:\n{answer['raised']}")
        self._libraries_bytes = _Meter(self._process.pid).memory_bytes

    def exchange(
        self, payload: bytes, seconds: float, memory_bytes: int, on_slow: Callable[[], None]
    ) -> dict[str, Any]:
        """Send a message and return its answer, within the limits."""
        self._serial += 1
        message = HEADER.pack(MAGIC, self._serial, len(payload)) + payload
        answer = self._await(message, seconds, memory_bytes, on_slow)
        self.served += 1
        return answer

    def _await(
        self, message: bytes, seconds: float, memory_bytes: int | None, on_slow: Callable[[], None] | None
    ) -> dict[str, Any]:
        unsent = memoryview(message)
        received = bytearray()
        meter = _Meter(self._process.pid, self._libraries_bytes)
        poller = select.poll()
        poller.register(self._answer, select.POLLIN)
        poller.register(self._output, select.POLLIN)
        if unsent:
            poller.register(self._request, select.POLLOUT)
        while not self._interrupted.is_set():
            for fd, _ in poller.poll(TICK_s * 1000):
                if fd == self._request:
                    try:
                        unsent = unsent[os.write(fd, unsent[: 1 << 20]) :]
                    except BrokenPipeError:
                        unsent = unsent[:0]  # it has died or answered early; the answer pipe shows which
                    if not unsent:
                        poller.unregister(fd)
                elif fd == self._output:
                    if not self._drain_output():
                        poller.unregister(fd)
                else:
                    with contextlib.suppress(BlockingIOError):
                        part = os.read(fd, 1 << 20)
                        if not part:
                            raise self._death(meter, memory_bytes)
                        received += part
                        if (answer := self._parse(received)) is not None:
                            return answer
            if not meter.due():
                continue
            meter.update()
            if self._process.poll() is not None:
                raise self._death(meter, memory_bytes)
            if memory_bytes is not None and meter.memory_bytes > memory_bytes:
                self.kill()
                raise _LostError("out_of_memory", _memory_detail(memory_bytes))
            if meter.charged_s > seconds:
                self.kill(signal.SIGABRT)  # faulthandler prints the stack
                raise _LostError("timeout", f"no answer within {seconds:g} s")
            if on_slow is not None and meter.charged_s > seconds / 2:
                on_slow()
                on_slow = None
        raise SandboxInterruptedError("interrupted")

    def memory_bytes(self) -> int:
        """Return the resident memory beyond the libraries, bytes."""
        return _Meter(self._process.pid).memory_bytes - self._libraries_bytes

    def output(self) -> str:
        """Return the end of the output."""
        return bytes(self._tail).decode("utf-8", "replace").strip()

    def kill(self, gently: signal.Signals | None = None) -> None:
        """Kill the child's process group and close the pipes."""
        if self._killed:
            return
        self._killed = True
        if gently is not None:
            self._signal(gently)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel, on a dead file server
            self._process.wait(30.0)
        self._drain_output()
        for fd in (self._request, self._answer, self._lifeline, self._output):
            os.close(fd)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _drain_output(self) -> bool:
        """Keep the end of the output; return False if the pipe is closed."""
        for _ in range(64):
            try:
                part = os.read(self._output, 1 << 16)
            except BlockingIOError:
                return True
            if not part:
                return False
            self._tail = (self._tail + part)[-OUTPUT_TAIL_bytes:]
        return True

    def _parse(self, received: bytearray) -> dict[str, Any] | None:
        if len(received) < HEADER.size:
            return None
        magic, serial, length = HEADER.unpack_from(received)
        if magic != MAGIC or serial != self._serial:
            raise _LostError("crashed", "the interpreter answered out of turn")
        if len(received) < HEADER.size + length:
            return None
        try:
            answer = json.loads(bytes(received[HEADER.size : HEADER.size + length]))
        except ValueError:
            raise _LostError("crashed", "the interpreter's answer was garbled") from None
        assert isinstance(answer, dict)
        return answer

    def _death(self, meter: _Meter, memory_bytes: int | None) -> _LostError:
        """Return a reproducible description of how the child died."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return _LostError("crashed", "the interpreter closed its pipes")
        self._drain_output()
        if code >= 0:
            return _LostError("crashed", f"the interpreter left with exit code {code}")
        self.signal = -code
        excess = memory_bytes is not None and meter.memory_bytes > memory_bytes / 2
        if memory_bytes is not None and (excess or any(word in self._tail for word in (b"bad_alloc", b"MemoryError"))):
            return _LostError("out_of_memory", _memory_detail(memory_bytes))
        with contextlib.suppress(ValueError):
            return _LostError("crashed", f"the interpreter was ended by {signal.Signals(-code).name}")
        return _LostError("crashed", f"the interpreter was ended by signal {-code}")


class _Meter:
    """Time and memory of an item, from /proc if available."""

    def __init__(self, pid: int, ignored_bytes: int = 0) -> None:
        self._pid = pid
        self._ignored_bytes = ignored_bytes
        self._seen_s = time.monotonic()
        self._cpu_s = self._cpu()[0]
        self.charged_s = 0.0
        self.memory_bytes = self._memory()

    def due(self) -> bool:
        return time.monotonic() - self._seen_s >= TICK_s

    def update(self) -> None:
        now = time.monotonic()
        # A suspended machine or a stopped parent counts for one second at most.
        elapsed, self._seen_s = min(now - self._seen_s, 1.0), now
        cpu_s, running = self._cpu()
        used, self._cpu_s = cpu_s - self._cpu_s, cpu_s
        self.charged_s += min(max(used, 0.0), elapsed) if running else elapsed
        self.memory_bytes = max(self.memory_bytes, self._memory())

    def _cpu(self) -> tuple[float, bool]:
        """Return the CPU time in seconds, and whether the process is runnable."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0, False
        return (int(fields[11]) + int(fields[12])) / CLOCK_Hz, fields[0] == "R"

    def _memory(self) -> int:
        try:
            fields = Path(f"/proc/{self._pid}/statm").read_text(encoding="ascii").split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * PAGE_bytes - self._ignored_bytes


def _memory_detail(memory_bytes: int) -> str:
    return f"needed more than {memory_bytes / 1e9:g} GB"


_idle: dict[str, list[Sandbox]] = {}


@contextlib.contextmanager
def borrowed_sandbox(factory: str, settings: Any, limits: Limits) -> Iterator[Sandbox]:
    """Yield a sandbox that stays warm in this process for the next call with the same arguments."""
    key = json.dumps([os.getpid(), factory, settings, limits.model_dump()], sort_keys=True)
    try:
        sandbox = _idle.get(key, []).pop()
    except IndexError:
        sandbox = Sandbox(factory, settings, limits)
    try:
        yield sandbox
    except BaseException:
        sandbox.close()
        raise
    _idle.setdefault(key, []).append(sandbox)


def close_idle() -> None:
    """Close the idle sandboxes."""
    while _idle:
        for sandbox in _idle.popitem()[1]:
            sandbox.close()


atexit.register(close_idle)
