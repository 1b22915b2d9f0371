"""Stored reflections of a row, and the same computed again from the structure in the curation table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.inspect.regenerate import StructureWithheldError, crystal_of, simulation_settings, structure_of
from datagen.simulate.reflections import crystal_reflections
from datagen.simulate.refusal import Unsimulable
from datagen.steps.row import reflection_values
from datagen.store.damaged import damage_explained
from datagen.store.location import Where
from datagen.store.reading import open_group, read_metadata


def stored_reflections(dataset: Where, row: int) -> dict[str, NDArray[Any]]:
    """Return the stored reflections of a row, by variable."""
    layout = read_metadata(dataset)[1]
    group: Any = open_group(dataset)
    shard = row // layout.structures_per_shard
    with damage_explained(dataset, f"the reflections of row {row}"):
        counts = np.asarray(group["n_reflections"][layout.rows(shard).start : row + 1]).astype(np.int64)
        first, last = int(counts[:-1].sum()), int(counts.sum())
        names = ["reflection_d", "reflection_f2", "reflection_hkl"]
        names += ["reflection_f2_lines"] if layout.n_lines > 1 else []
        found = {name: np.asarray(group[name][shard, first:last]) for name in names}
        return found | {"rotations": np.asarray(group["rotations"][row])}


def made_again(dataset: Where, row: int) -> dict[str, NDArray[Any]]:
    """Return the reflections of a row as they come out now, in the types that are stored."""
    attributes, layout = read_metadata(dataset)
    entry = structure_of(dataset, row)
    if entry["structure"] is None:
        raise StructureWithheldError(f"{dataset}: the coordinates of row {row} were withheld")
    instrument = simulation_settings(dataset).instrument
    crystal = crystal_of(dataset, entry)
    with damage_explained(dataset, f"the structure of row {row}"):
        d_min = float(attributes["reflections"]["d_min_A"])
        try:
            found = crystal_reflections(crystal, d_min, [line.wavelength_A for line in instrument.lines])
        except Unsimulable as refused:
            raise ValueError(f"its structure has no reflections: {refused}") from refused
    return reflection_values(found, layout)


def different(stored: dict[str, NDArray[Any]], made: dict[str, NDArray[Any]]) -> list[str]:
    """Return the variables that differ in any bit."""
    return [name for name, values in stored.items() if not np.array_equal(values, made[name].astype(values.dtype))]
