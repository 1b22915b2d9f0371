"""Tests of the real GSAS-II skip, with the reason, where it is not installed."""

from __future__ import annotations

import functools

import pytest

from datagen.errors import EngineError
from datagen.simulate.gsas2 import engine as gsas2


@functools.cache
def _why_not() -> str:
    try:
        gsas2.version()
    except EngineError as error:
        return str(error)
    return ""


def require_gsas2() -> None:
    if reason := _why_not():
        pytest.skip(reason)
