"""Reasons: codes of refusals, warnings and quarantines, with their meaning and remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A code that is stored with a record, what it means, and what to do about it, a sentence each."""

    code: str
    meaning: str
    remedy: str
    stage: str = ""
    """Stage of curation that gives it; empty for warnings and for reasons of other steps."""
