"""Functions that tests send to workers; in a module, so that workers import them like any other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any


def double(number: int) -> dict[str, int]:
    return {"number": number, "double": 2 * number, "pid": os.getpid()}


def slowly(number: int) -> int:
    time.sleep(0.05)
    return number


def die_for_seven(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


def refuse_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def fail_once(marker: str) -> str:
    path = Path(marker)
    if not path.exists():
        path.touch()
        raise OSError(5, "Input/output error")
    return "second time"


def too_much(number: int) -> bytes:
    return bytes(number)


def count_call(folder: str) -> int:
    with (Path(folder) / f"{os.getpid()}-{time.monotonic_ns()}").open("x"):
        pass
    return 0


def environment(names: tuple[str, ...]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def half_a_second(number: int) -> int:
    time.sleep(0.5)
    return number


def process_of(number: int) -> int:
    return os.getpid()


def square(number: int) -> int:
    return number * number


def ask_a_child(number: int) -> int:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(square, (number,))


def terminate_a_child(seconds: int) -> int:
    child = subprocess.Popen(["sleep", str(seconds)])
    child.terminate()
    return child.wait(timeout=10)


def local_directory(dask_worker: Any) -> str:
    return str(dask_worker.local_directory)


def be_prepared(folder: str) -> None:
    time.sleep(0.2)
    (Path(folder) / str(os.getpid())).touch()
