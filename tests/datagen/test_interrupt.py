"""Ctrl-C while a compiled function runs, which raises another exception in place of KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from datagen.errors import is_interrupt
from tests.faults.runs import environment

PROGRAM = """
import datagen.commands.app as commands
from catalogs.config import GeneratedCatalog
from catalogs.generated.records import records

def forever():
    for number, _ in enumerate(records(GeneratedCatalog(kind="generated", count=10**9, name="made"))):
        if number == 10:
            print("ready", flush=True)

commands.app = forever
commands.main()
"""
"""The command line around the generator, whose crystals take nearly all of the time in a compiled function."""


def test_ctrl_c_is_no_bug(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("wb") as sink:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=environment(), stdout=subprocess.PIPE, stderr=sink
        )
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == b"ready\n", errors.read_text()
            time.sleep(0.5)
            os.kill(program.pid, signal.SIGTERM)
            code = program.wait(timeout=60)
        finally:
            program.kill()
            program.communicate()
    assert code == 130, errors.read_text()
    assert errors.read_text().splitlines() == ["datagen: interrupted; re-run the same command to resume"]


def test_only_what_an_interrupt_caused_is_one() -> None:
    lost = SystemError("a result with an exception set")
    lost.__cause__ = KeyboardInterrupt()
    outer = SystemError("another")
    outer.__cause__ = lost
    assert is_interrupt(outer)
    assert is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(SystemError("alone"))
    assert not is_interrupt(ValueError())
    assert not is_interrupt(None)
