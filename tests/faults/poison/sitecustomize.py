"""Imported by Python at its start if its folder is on the path: simulating rutile then kills the process."""

from __future__ import annotations

import os
import signal
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any


class Poison:
    """Wraps the engine as it is imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "datagen.simulate.native":
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_poisoned(module: Any) -> None:
            load(module)
            healthy = module.simulate

            def simulate(crystal: Any, *rest: Any) -> Any:
                if "Ti" in "".join(crystal.species) and abs(crystal.lattice_A[0, 0] - 2.96) < 0.1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return healthy(crystal, *rest)

            module.simulate = simulate

        spec.loader.exec_module = load_poisoned  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Poison)  # type: ignore[arg-type]
