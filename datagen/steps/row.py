"""One structure's simulation as the store's arrays: patterns, draws, diagnostics and sticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datagen.store import schema
from datagen.store.quantise import quantise

if TYPE_CHECKING:
    from datagen.simulate.augmentation import Augmentations, AugmentationSettings
    from datagen.simulate.patterns import Patterns

_NEUTRAL = {
    "X_cdeg": 0.0,
    "Y_cdeg": 0.0,
    "zero_shift_deg": 0.0,
    "displacement_um": 0.0,
    "march_r": 1.0,
    "impurity_peaks": 0,
    "hump_height": 0.0,
}
"""Values at which a parameter has no effect."""

_STORED_WITH = {
    "march_r": ("march_r", "march_hkl"),
    "impurity_peaks": ("impurity_height", "impurity_position"),
    "hump_height": ("hump_height", "hump_d_A", "hump_fwhm_deg"),
}
"""What rebuilding needs where a parameter has an effect; else just the parameter."""


def extra_augmentations(settings: AugmentationSettings) -> tuple[str, ...]:
    """Return those of `schema.EXTRA_AUGMENTATIONS` that can have an effect under these settings."""
    active = [name for name, neutral in _NEUTRAL.items() if tuple(getattr(settings, name)) != (neutral, neutral)]
    wanted = {stored for name in active for stored in _STORED_WITH.get(name, (name,))}
    return tuple(v.name for v in schema.EXTRA_AUGMENTATIONS if v.name in wanted)


def row_values(patterns: Patterns, augmentations: Augmentations, layout: schema.Layout) -> dict[str, NDArray[Any]]:
    """Return the arrays for `ShardWriter.add`."""
    stored, maximum = quantise(patterns.intensity)
    sticks = patterns.sticks
    drawn = augmentations.columns()
    values: dict[str, NDArray[Any]] = {
        "pattern": stored,
        "pattern_max": maximum,
        **{v.name: drawn[v.name] for v in schema.AUGMENTATIONS},
        **{name: drawn[name] for name in layout.extra_augmentations},
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
