"""What stops us: each says what, where, expected, found, and what to do. Bad input is not here: it becomes a row."""

from __future__ import annotations


class DatagenError(Exception):
    """Something a person has to mend; shown as a sentence, exit code 2, without a traceback."""


class ConfigError(DatagenError):
    """The configuration is not usable; every mistake in it is listed."""


class PlanError(DatagenError):
    """The run would not fit, or does not match what was begun here."""


class StoreError(DatagenError):
    """A dataset is missing, damaged, of another version, or in use."""


class EngineError(DatagenError):
    """A simulation engine is missing or failed as a whole."""


class ClusterError(DatagenError):
    """The cluster could not be reached or could not be started."""
