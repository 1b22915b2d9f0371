"""Pattern simulation: crystal and instrument to sticks, sticks and augmentations to patterns."""

from __future__ import annotations

from typing import Literal, get_args

from datagen.errors import EngineError
from datagen.simulate.patterns import Engine

EngineName = Literal["native", "gsas2"]


def engine(name: str) -> Engine:
    """The engine of this name: `native` (ours) or `gsas2` (the real GSAS-II, where it is installed)."""
    if name == "native":
        from datagen.simulate.native import simulate as native

        return native
    if name == "gsas2":
        from datagen.simulate.gsas2.engine import simulate as gsas2

        return gsas2
    raise EngineError(f"engine: expected one of {', '.join(get_args(EngineName))}, found {name!r}")


__all__ = ["Engine", "EngineName", "engine"]
