"""How the trainer says that something outside it is wrong: one sentence, exit code 2, nothing written."""

from __future__ import annotations


class TrainerError(Exception):
    """Says what is wrong, where, what was expected and found, and what to do."""
