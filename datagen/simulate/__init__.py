"""Pattern simulation: crystal and instrument to sticks, sticks and augmentations to patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from datagen.errors import EngineError

if TYPE_CHECKING:
    from datagen.simulate.patterns import Engine

EngineName = Literal["native", "gsas2"]


def engine(name: str) -> Engine:
    """Return the engine of this name: `native` (this package's) or `gsas2` (GSAS-II itself, if installed)."""
    if name == "native":
        from datagen.simulate.native import simulate as native

        return native
    if name == "gsas2":
        from datagen.simulate.gsas2.engine import simulate as gsas2

        return gsas2
    raise EngineError(f"engine: expected one of {', '.join(get_args(EngineName))}, found {name!r}")


__all__ = ["EngineName", "engine"]
