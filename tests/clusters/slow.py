"""Tasks that take at least some seconds each, so that there is time to disturb a run of little computation."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.runs import ROOT, startup_code

PACE = int(os.environ.get("PXRD_CLUSTERS_PACE", "1"))
"""Factor of the walltimes, and of the tasks that outlast them, for a machine that is busy with other things."""

CODE = """
import functools
import importlib.util
import sys
import time


class Slow:
    def find_spec(self, name, path=None, target=None):
        if name != "cluster.task":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            quick = module.perform

            @functools.wraps(quick)
            def perform(*arguments):
                time.sleep(SECONDS)
                return quick(*arguments)

            module.perform = perform

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Slow())
"""


def slow_tasks(folder: Path, seconds: float) -> dict[str, str]:
    """Return an environment in which every task waits before it begins; jobs and workers inherit it."""
    variables = startup_code(folder / "slow", CODE.replace("SECONDS", str(seconds)))
    assert str(ROOT) in variables["PYTHONPATH"].split(os.pathsep)
    return variables
