"""The child process that runs GSAS-II: kept for many structures, without network, with its own scratch folder."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
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
"""Environment variable: path of the Python that has GSAS-II, if that is not the running one."""
CHILD = Path(__file__).with_name("child.py")
START_TIMEOUT_S = 60.0
"""Loading GSAS-II takes 2 to 7 s; a program that has not answered by then is killed."""
CLOSED_OUTPUT_S = 5.0
MAX_ANSWER_BYTES = 16_000_000
"""Arrays are exchanged as files, so that every answer is a short line."""
HOW_TO_GET_IT = (
    "use `pixi run -e gsas datagen ...`, which has GSAS-II, or set "
    f"{PYTHON_VARIABLE} to the Python it is installed for "
    "(https://advancedphotonsource.github.io/GSAS-II-tutorials/install.html)"
)


class Gsas2StartError(EngineError):
    """GSAS-II cannot be started on this machine; the message names the program that was tried."""

    def __str__(self) -> str:
        return f"{self.fact}; {HOW_TO_GET_IT}"

    @property
    def fact(self) -> str:
        """The message without what to do."""
        return str(self.args[0])


class UnsupportedByGsas2(Unsimulable):
    """GSAS-II cannot compute this structure; the message gives the reason."""

    reason = "unsupported_by_gsas2"


class _NoAnswerError(Exception):
    """The child gave no answer; the message completes the sentence "The child ..."."""


class GsasProcess:
    """One child process with GSAS-II loaded, which computes one request at a time."""

    def __init__(self, python: str | None = None) -> None:
        self.python = _program(python or os.environ.get(PYTHON_VARIABLE) or sys.executable)
        self.folder = Path(tempfile.mkdtemp(prefix="pxrd-gsas2-"))
        self.chatter = self.folder / "chatter.txt"
        self._pending = b""
        # Its own home folder: GSAS-II writes configuration files there, and the user's configuration of GSAS-II
        # (parallel processes, for one) would change what is computed.
        environment = {**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder), "MPLBACKEND": "Agg"}
        environment.setdefault("PYTHONUSERBASE", site.getuserbase())
        environment.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        try:
            with self.chatter.open("ab") as errors:
                self._child = subprocess.Popen(
                    [self.python, str(CHILD), str(self.chatter)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=self.folder,
                    env=environment,
                    process_group=0,
                )
        except OSError as error:
            self.close()
            raise Gsas2StartError(f"GSAS-II cannot be started with {self.python}: {error.strerror or error}") from error
        try:
            self.version, self.form_factors = self._hello(START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def _hello(self, timeout_s: float) -> tuple[str, frozenset[str]]:
        """Wait for the child's first line: return GSAS-II's version and the names of its form factors."""
        try:
            hello = self._answer(timeout_s)
        except _NoAnswerError as failure:
            raise Gsas2StartError(
                f"GSAS-II cannot be started with {self.python}: the program {failure}; {_last_line(self._printed())}"
            ) from failure
        if "missing" in hello:
            raise Gsas2StartError(f"GSAS-II is not installed for {self.python} ({hello['missing']})")
        if "broken" in hello:
            raise Gsas2StartError(
                f"GSAS-II of {self.python} cannot be used: {hello['broken']}; {_last_line(hello.get('chatter', ''))}"
            )
        if not {"version", "form_factors"} <= hello.keys():
            raise Gsas2StartError(
                f"GSAS-II cannot be started with {self.python}: it answered {_shortened(str(hello))!r}"
            )
        return hello["version"], frozenset(hello["form_factors"])

    def ask(self, request: dict[str, Any], folder: Path, timeout_s: float | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer; files are exchanged in `folder`."""
        assert self._child.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # a child that died is reported when its answer is read
                self._child.stdin.write(json.dumps({**request, "folder": str(folder)}).encode() + b"\n")
                self._child.stdin.flush()
            answer = self._answer(timeout_s)
        except _NoAnswerError as failure:
            printed = self._printed()
            self.close()
            raise EngineError(f"GSAS-II's process {failure}. It printed:\n{printed or '(nothing)'}") from failure
        except BaseException:
            self.close()  # its state is unknown: the next request starts a new child
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
                raise _NoAnswerError(f"did not answer within {timeout_s:g} s")
            received = os.read(channel, 65536)
            if not received:
                raise _NoAnswerError(self._ending())
            self._pending += received
            if len(self._pending) > MAX_ANSWER_BYTES:
                raise _NoAnswerError(f"answered with more than {MAX_ANSWER_BYTES} bytes")
        line, self._pending = self._pending.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            answered = _shortened(line.decode(errors="replace"))
            raise _NoAnswerError(f"answered {answered!r}, which is not an answer of GSAS-II")
        return answer

    def _ending(self) -> str:
        """Describe how the child ended; one that only closed its output is killed with the rest."""
        try:
            return f"ended with status {self._child.wait(CLOSED_OUTPUT_S)} and no answer"
        except subprocess.TimeoutExpired:
            return "closed its output without an answer"

    def _printed(self) -> str:
        try:
            return self.chatter.read_text(errors="replace")[-2000:].strip()
        except OSError:
            return ""

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._child.poll() is None

    def close(self) -> None:
        """Kill the child, with what it started, and remove its scratch folder."""
        child = getattr(self, "_child", None)
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stdout):
                try:
                    pipe.close()
                except OSError:
                    continue  # unsent bytes of a request that no longer matters
        shutil.rmtree(self.folder, ignore_errors=True)


_lock = threading.Lock()
_current: tuple[int, str | None, GsasProcess] | None = None
"""Process id that owns the child, the variable's value, the child: a forked process must not use its parent's child."""


def ask(request: dict[str, Any], folder: Path, timeout_s: float | None = None) -> dict[str, Any]:
    """Have this process's child compute one request; start it first if there is none or it died."""
    with _lock:
        return _process().ask(request, folder, timeout_s)


def process() -> GsasProcess:
    """Return this process's child, started if needed."""
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
    """Kill this process's child, if there is one."""
    global _current
    with _lock:
        if _current is not None and _current[0] == os.getpid():
            _current[2].close()
        _current = None


def _program(name: str) -> str:
    """Return the absolute path of a program; a name without a folder is searched on PATH."""
    return str(Path(shutil.which(name) or name).absolute())


def _last_line(printed: str) -> str:
    """Describe the last line with words or figures in it."""
    lines = [line for line in printed.splitlines() if any(c.isalnum() for c in line)]
    return f"its last line: {_shortened(lines[-1].strip())!r}" if lines else "it printed nothing"


def _shortened(text: str, characters: int = 200) -> str:
    return text if len(text) <= characters else text[:characters] + "..."


atexit.register(close)
