"""The stored arrays of one structure's simulation, by variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curation.atoms import cell_parameters
from datagen.store import schema
from datagen.store.quantise import quantise

if TYPE_CHECKING:
    from curation.crystal import Crystal
    from datagen.simulate.augmentation import Augmentations
    from datagen.simulate.patterns import Patterns
    from datagen.simulate.reflections import Reflections

STRAINED_CELL = "strained_cell"
"""Label of each pattern where cells are strained."""


def pattern_values(
    patterns: Patterns, augmentations: Augmentations, layout: schema.Layout, crystal: Crystal | None = None
) -> dict[str, NDArray[Any]]:
    """Return patterns, draws and diagnostics for `ShardWriter.add`; strained cells need the crystal."""
    stored, maximum = quantise(patterns.intensity)
    drawn = augmentations.columns()
    if any(draw.name == STRAINED_CELL for draw in layout.extra_draws):
        drawn[STRAINED_CELL] = strained_cells(patterns, augmentations, crystal)
    return {
        "pattern": stored,
        "pattern_max": maximum,
        **{draw.name: drawn[draw.name] for draw in (*layout.draws, *layout.extra_draws)},
        "overlap": patterns.diagnostics.overlap,
        "n_variance_floor": patterns.diagnostics.n_variance_floor,
    }


def strained_cells(patterns: Patterns, augmentations: Augmentations, crystal: Crystal | None) -> NDArray[np.float64]:
    """Return a, b, c in A and the angles in degrees of each pattern's cell."""
    lattices = patterns.lattices_A
    if lattices is None:
        if crystal is None:
            raise ValueError("cells of patterns without strain: expected the crystal")
        lattices = np.repeat(crystal.lattice_A[None], len(augmentations), axis=0)
    return np.array([cell_parameters(lattice) for lattice in lattices])


def reflection_values(reflections: Reflections | None, layout: schema.Layout) -> dict[str, NDArray[Any]]:
    """Return the reflections of a crystal for `ShardWriter.add`; none where no crystal is known."""
    rotations = np.zeros((schema.ROTATIONS, 3, 3), dtype=np.int8)
    if reflections is None:
        none, lines = np.zeros(0, dtype=np.float32), np.zeros((0, layout.n_lines - 1), dtype=np.float32)
        hkl = np.zeros((0, 3), dtype=np.int16)
        found: dict[str, NDArray[Any]] = {
            "reflection_d": none,
            "reflection_f2": none,
            "reflection_hkl": hkl,
            "rotations": rotations,
        }
    else:
        lines = reflections.f2_lines.astype(np.float32)
        rotations[: len(reflections.rotations)] = reflections.rotations
        found = {
            "reflection_d": reflections.d_A.astype(np.float32),
            "reflection_f2": reflections.f2.astype(np.float32),
            "reflection_hkl": reflections.hkl,
            "rotations": rotations,
        }
    return found | ({"reflection_f2_lines": lines} if layout.n_lines > 1 else {})
