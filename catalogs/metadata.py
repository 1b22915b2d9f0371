"""Source metadata: values beside a structure, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST_LIST = 100
_PLAIN = (str, int, float, bool)
_STRUCTURE_KEYS = frozenset(
    (
        *("lattice", "sites", "lattice_vectors", "cartesian_site_positions", "species_at_sites", "species"),
        *("dimension_types", "structure_features", "cell", "positions", "numbers", "pbc", "constraints"),
    )
)
"""Parts of a structure itself."""


def metadata_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts, the numbers, and short lists of them as JSON; anything else is left out."""
    found = {}
    for key, value in values.items():
        if key.startswith("@") or key in _STRUCTURE_KEYS:
            continue
        if isinstance(value, _PLAIN):
            found[key] = str(value)
        elif isinstance(value, list) and 0 < len(value) <= LONGEST_LIST and _are_plain(value):
            found[key] = json.dumps(value)
    return found


def _are_plain(values: list[Any]) -> bool:
    return all(isinstance(value, _PLAIN) for value in values)
