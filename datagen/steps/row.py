"""The stored arrays of one structure's simulation, by variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datagen.store import schema
from datagen.store.quantise import quantise

if TYPE_CHECKING:
    from datagen.simulate.augmentation import Augmentations
    from datagen.simulate.patterns import Patterns


def row_values(patterns: Patterns, augmentations: Augmentations, layout: schema.Layout) -> dict[str, NDArray[Any]]:
    """Return the arrays for `ShardWriter.add`: patterns, draws, diagnostics and sticks."""
    stored, maximum = quantise(patterns.intensity)
    sticks = patterns.sticks
    drawn = augmentations.columns()
    values: dict[str, NDArray[Any]] = {
        "pattern": stored,
        "pattern_max": maximum,
        **{draw.name: drawn[draw.name] for draw in (*layout.draws, *layout.extra_draws)},
        "overlap": patterns.diagnostics.overlap,
        "n_variance_floor": patterns.diagnostics.n_variance_floor,
        "reflection_two_theta": sticks.two_theta_deg,
        "reflection_intensity": sticks.intensity,
    }
    if layout.n_lines > 1:
        values["reflection_line"] = sticks.line
    if layout.with_members:
        values |= {
            "reflection_members": np.diff(sticks.member_start),
            "member_hkl": sticks.member_hkl,
            "member_intensity": sticks.member_intensity,
            "reciprocal_metric": sticks.reciprocal_metric,
        }
    return values
