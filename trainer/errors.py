"""The error for mistakes that a user can correct; commands print it as one sentence and exit with code 2."""

from __future__ import annotations


class TrainerError(Exception):
    """A mistake in input: what, where, expected, found, and what to do.

    Control characters, which text of a foreign file may bring and a terminal may obey, are written as escapes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message))
