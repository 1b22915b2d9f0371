"""Errors that the user can act on: what, where, expected, found, what to do. Bad input is a refused row instead."""

from __future__ import annotations


class DatagenError(Exception):
    """An error that the user can correct; the command line shows its message and exits with code 2.

    Control characters, which text of a foreign file may bring and a terminal may obey, are written as escapes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message))


class ConfigError(DatagenError):
    """The configuration is invalid; the message lists every mistake."""


class PlanError(DatagenError):
    """The run does not fit, or does not match what was begun in this folder."""


class StoreError(DatagenError):
    """A dataset is missing, damaged, of another version, or in use."""


class EngineError(DatagenError):
    """A simulation engine is missing or failed as a whole."""


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C or SIGTERM caused an error: compiled functions raise SystemError in their place."""
    while isinstance(error, SystemError):
        error = error.__cause__
    return isinstance(error, KeyboardInterrupt)


def expected_errors() -> tuple[type[Exception], ...]:
    """Return every class of error that is shown as a message, without a traceback; the rest are bugs."""
    from catalogs.errors import CatalogError
    from cluster.errors import ClusterError

    return DatagenError, CatalogError, ClusterError
