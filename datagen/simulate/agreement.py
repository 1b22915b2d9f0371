"""Agreement of the native engine with GSAS-II, measured by `python -m benchmarks.engine`; part of every dataset."""

from __future__ import annotations

from typing import Any

AGREEMENT: dict[str, Any] = {
    "error": "max |native - GSAS-II| / max GSAS-II of a pattern, scales fitted, Friedel mates averaged",
    "median": 1.2e-4,
    "percentile_95": 4.3e-4,
    "worst": 2.6e-3,
    "patterns": 960,
    "crystals": 240,
    "reference": "GSAS-II 5 of August 2026, alphadiffract instrument and augmentations",
}
