from __future__ import annotations

import subprocess
import sys
import time

from datagen.steps.watchdog import time_limit

HANGS = """
import numba, time
from datagen.steps.watchdog import time_limit
@numba.njit
def spin(n):
    x = 0.0
    for i in range(n):
        x += i % 7
    return x
spin(1)
with time_limit(0.5):
    for _ in range(10**6):
        spin(2 * 10**9)
"""
"""Compiled code that holds the interpreter's lock and hears no signal."""


def test_compiled_code_that_does_not_end_takes_its_process_along() -> None:
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "Timeout" in ended.stderr
    assert time.monotonic() - began < 50


def test_what_ends_in_time_leaves_no_alarm_behind() -> None:
    with time_limit(0.2):
        pass
    time.sleep(0.4)  # an alarm left behind would end this very process
