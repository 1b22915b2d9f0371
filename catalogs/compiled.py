"""Compile functions with numba: cached where a cache can be kept, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile on first call; machine code is kept for the next process.

    numba keeps it beside the module, or in the user's cache where the installation is read-only, or where
    NUMBA_CACHE_DIR says; many processes may do so at once. Without a writable cache each process compiles for itself.
    No fast-math: sums keep their order and nothing is fused, so results do not depend on the width of a vector.
    Functions that call each other share a file: numba notices a change of the caller's file only.
    """
    try:
        return cast("F", numba.njit(function, cache=True, error_model="numpy", nogil=True))
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return cast("F", numba.njit(function, error_model="numpy", nogil=True))


def inlined(function: F) -> F:
    """Compile into the callers: for inner loops on slices, where counting references would cost more than the loop."""
    return cast("F", numba.njit(function, inline="always", error_model="numpy", nogil=True))
