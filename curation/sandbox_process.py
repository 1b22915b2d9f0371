"""A sandbox's child process: start, exchange of messages within limits, and death."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from curation.sandbox_child import HEADER, MAGIC, write_message
from curation.sandbox_meter import ItemMeter, TICK_s, resident_bytes

CHILD = Path(__file__).with_name("sandbox_child.py")
START_LIMIT_s = 300.0
"""Time limit of a start: importing libraries from a cold shared file system can take minutes."""
EXIT_LIMIT_s = 5.0
"""Time between the end of the pipes and that of the process, which a busy machine may take a while to reap."""
OUTPUT_TAIL_bytes = 8192

FailureReason = Literal["timeout", "crashed", "out_of_memory", "raised"]


class SandboxError(RuntimeError):
    """The child interpreter cannot be started, whatever the item."""


class SandboxInterruptedError(SandboxError):
    """`interrupt` was called while an item was being processed."""


class ChildLostError(Exception):
    """The child died, or was killed for exceeding a limit."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.detail = detail


class ChildProcess:
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
        except ChildLostError as lost:
            self.kill()
            raise SandboxError(f"a sandbox did not start: {lost.detail}\n{self.output()}".strip()) from None
        if "raised" in answer:
            raise SandboxError(f"a sandbox could not load its factory:\n{answer['raised']}")
        self._libraries_bytes = ItemMeter(self._process.pid).memory_bytes

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
        meter = ItemMeter(self._process.pid, self._libraries_bytes)
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
                raise ChildLostError("out_of_memory", memory_detail(memory_bytes))
            if meter.charged_s > seconds:
                self.kill(signal.SIGABRT)  # faulthandler prints the stack
                raise ChildLostError("timeout", f"no answer within {seconds:g} s")
            if on_slow is not None and meter.charged_s > seconds / 2:
                on_slow()
                on_slow = None
        raise SandboxInterruptedError("interrupted")

    def memory_bytes(self) -> int:
        """Return the resident memory beyond the libraries, bytes."""
        return ItemMeter(self._process.pid).memory_bytes - self._libraries_bytes

    def resident_bytes(self) -> float:
        """Return the memory that the child takes, libraries included."""
        return resident_bytes(self._process.pid)

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
            raise ChildLostError("crashed", "the interpreter answered out of turn")
        if len(received) < HEADER.size + length:
            return None
        try:
            answer = json.loads(bytes(received[HEADER.size : HEADER.size + length]))
        except ValueError:
            raise ChildLostError("crashed", "the interpreter's answer was garbled") from None
        assert isinstance(answer, dict)
        return answer

    def _death(self, meter: ItemMeter, memory_bytes: int | None) -> ChildLostError:
        """Return a reproducible description of how the child died."""
        try:
            code = self._process.wait(EXIT_LIMIT_s)
        except subprocess.TimeoutExpired:
            return ChildLostError("crashed", "the interpreter closed its pipes")
        self._drain_output()
        if code >= 0:
            return ChildLostError("crashed", f"the interpreter left with exit code {code}")
        self.signal = -code
        excess = memory_bytes is not None and meter.memory_bytes > memory_bytes / 2
        if memory_bytes is not None and (excess or any(word in self._tail for word in (b"bad_alloc", b"MemoryError"))):
            return ChildLostError("out_of_memory", memory_detail(memory_bytes))
        with contextlib.suppress(ValueError):
            return ChildLostError("crashed", f"the interpreter was ended by {signal.Signals(-code).name}")
        return ChildLostError("crashed", f"the interpreter was ended by signal {-code}")


def memory_detail(memory_bytes: int) -> str:
    """Return the detail of an item over the memory limit."""
    return f"needed more than {memory_bytes / 1e9:g} GB"
