"""`datagen verify` ends with exit code 0 or 2, also on a busy machine."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.datagen.small_runs import Made

RUNS = 200
AT_ONCE = 4


def exit_code(dataset: Path) -> int:
    command = [sys.executable, "-m", "datagen", "verify", str(dataset)]
    return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def exit_codes(dataset: Path, runs: int) -> Counter[int]:
    with busy_cores(2), ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(exit_code, [dataset] * runs))


def damage(dataset: Path) -> None:
    path = next(iter(sorted((dataset / "pattern").rglob("*"), key=lambda path: not path.is_file())))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.stress
def test_verify_of_a_good_dataset_always_ends_with_0(copied: Made) -> None:
    assert exit_codes(copied.dataset, RUNS) == {0: RUNS}


@pytest.mark.stress
def test_verify_of_a_damaged_dataset_always_ends_with_2(copied: Made) -> None:
    damage(copied.dataset)
    assert exit_codes(copied.dataset, RUNS) == {2: RUNS}
