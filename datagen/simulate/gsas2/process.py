"""Where GSAS-II runs: a child interpreter kept for many structures, without network, on local scratch, killable."""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import site
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from datagen.errors import EngineError
from datagen.simulate.refusal import NoReflections, Unsimulable

PYTHON_VARIABLE = "PXRD_GSAS2_PYTHON"
"""Names the Python that has GSAS-II, where that is not the one running."""
CHILD = Path(__file__).with_name("child.py")
START_TIMEOUT_S = 120.0
HOW_TO_GET_IT = (
    "either use the pixi environment that has it (`pixi run -e gsas datagen ...`), or install it as "
    "https://advancedphotonsource.github.io/GSAS-II-tutorials/install.html says and set "
    f"{PYTHON_VARIABLE} to the Python it was installed for"
)


class UnsupportedByGsas2(Unsimulable):
    """GSAS-II cannot compute this structure; the message says why."""

    reason = "unsupported_by_gsas2"


class GsasProcess:
    """One child interpreter with GSAS-II loaded. Ask it one thing at a time."""

    def __init__(self, python: str | None = None) -> None:
        self.python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
        self.folder = Path(tempfile.mkdtemp(prefix="pxrd-gsas2-"))
        self.chatter = self.folder / "chatter.txt"
        self._pending = b""
        # A home of its own: neither does GSAS-II write into the user's, nor does the user's configuration of GSAS-II
        # (parallel processes, for one) change what is computed.
        environment = {**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder), "MPLBACKEND": "Agg"}
        environment.setdefault("PYTHONUSERBASE", site.getuserbase())
        environment.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        try:
            self._child = subprocess.Popen(
                [self.python, str(CHILD), str(self.chatter)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self.folder,
                env=environment,
            )
        except OSError as error:
            self.close()
            raise EngineError(f"GSAS-II: cannot start {self.python} ({error}); check {PYTHON_VARIABLE}") from error
        try:
            hello = self._answer(START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        if "missing" in hello:
            self.close()
            raise EngineError(f"GSAS-II is not installed for {self.python} ({hello['missing']}): {HOW_TO_GET_IT}.")
        self.version: str = hello["version"]
        self.form_factors: frozenset[str] = frozenset(hello["form_factors"])

    def ask(self, request: dict[str, Any], folder: Path, timeout_s: float | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer; files are exchanged in `folder`."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({**request, "folder": str(folder)}).encode() + b"\n")
            self._child.stdin.flush()
            answer = self._answer(timeout_s)
        except BaseException:
            self.close()  # whatever it is doing, nobody waits for it any more
            raise
        if "no_reflections" in answer:
            raise NoReflections(answer["no_reflections"])
        if "refused" in answer:
            raise UnsupportedByGsas2(answer["refused"])
        if "failed" in answer:
            raise EngineError(f"GSAS-II failed: {answer['failed']}. It printed:\n{answer['chatter'].strip()}")
        return answer

    def _answer(self, timeout_s: float | None) -> dict[str, Any]:
        assert self._child.stdout is not None
        channel = self._child.stdout.fileno()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([channel], [], [], left)[0]:
                raise EngineError(f"GSAS-II did not answer within {timeout_s:g} s. It printed:\n{self._printed()}")
            received = os.read(channel, 65536)
            if not received:
                code = self._child.wait()
                raise EngineError(f"GSAS-II's process ended with status {code}. It printed:\n{self._printed()}")
            self._pending += received
        line, self._pending = self._pending.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _printed(self) -> str:
        try:
            return self.chatter.read_text(errors="replace")[-2000:].strip()
        except OSError:
            return "(nothing)"

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._child.poll() is None

    def close(self) -> None:
        """End the child and remove its scratch."""
        child = getattr(self, "_child", None)
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                try:
                    pipe.close()
                except OSError:
                    continue  # unsent bytes of a request that no longer matters
        shutil.rmtree(self.folder, ignore_errors=True)


_lock = threading.Lock()
_current: tuple[int, str | None, GsasProcess] | None = None
"""Belongs to the process id beside it: a forked copy of us must not talk to our child."""


def ask(request: dict[str, Any], folder: Path, timeout_s: float | None = None) -> dict[str, Any]:
    """Have this process's child compute one request; it is started when first needed, and again when it died."""
    with _lock:
        return _process().ask(request, folder, timeout_s)


def process() -> GsasProcess:
    """This process's child, started when needed."""
    with _lock:
        return _process()


def _process() -> GsasProcess:
    global _current
    wanted = os.environ.get(PYTHON_VARIABLE)
    if _current is not None:
        owner, python, running = _current
        if owner == os.getpid() and python == wanted and running.alive:
            return running
        if owner == os.getpid():
            running.close()
        _current = None
    started = GsasProcess(wanted)
    _current = (os.getpid(), wanted, started)
    return started


def close() -> None:
    """End this process's child, if there is one."""
    global _current
    with _lock:
        if _current is not None and _current[0] == os.getpid():
            _current[2].close()
        _current = None


atexit.register(close)
