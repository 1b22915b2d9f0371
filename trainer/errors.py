"""The error for mistakes that a user can correct; commands print it as one sentence and exit with code 2."""

from __future__ import annotations


class TrainerError(Exception):
    """A mistake in input: what, where, expected, found, and what to do."""
