"""One structure's arrays made again from the dataset alone: what verification and replay compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.crystal import Crystal
from datagen.config.phases import use_library
from datagen.config.settings import SimulationSettings
from datagen.errors import StoreError
from datagen.simulate import engine
from datagen.simulate.augmentation import Augmentations, draw
from datagen.simulate.patterns import Patterns
from datagen.simulate.refusal import Unsimulable
from datagen.store.bounded_table import CURATION_TABLE, read_lines
from datagen.store.damaged import damage_explained
from datagen.store.location import Where, location_of
from datagen.store.quantise import quantise
from datagen.store.reading import read_attributes, read_layout

NEEDED = (
    "row",
    "source",
    "source_id",
    "formula",
    "space_group",
    "structure",
    "structure_hash",
    "licence",
    "reason",
    "detail",
    "duplicate_of",
)
"""Columns of the curation table that its readers ask for."""


class StructureWithheldError(StoreError):
    """The dataset was published without coordinates that a pattern is made of."""


@dataclass(frozen=True, eq=False)
class Regenerated:
    """Patterns of a row as they come out now."""

    row: int
    drawn: Augmentations
    patterns: Patterns
    stored: NDArray[np.uint16]
    """Quantised as the dataset keeps them."""
    maximum: NDArray[np.float64]
    crystal: Crystal


def regenerate(dataset: Where, row: int, augmentations: Sequence[int]) -> Regenerated:
    """Simulate these augmentations of a row again, from its structure in the curation table."""
    if read_layout(dataset).measured:
        raise StoreError(f"{dataset}: its patterns were measured, not simulated; they cannot be regenerated")
    entry = structure_of(dataset, row)
    if entry["structure"] is None:
        raise StructureWithheldError(
            f"{dataset}: the coordinates of row {row} ({entry['source_id']}, licence {entry['licence']}) were withheld "
            "when this dataset was published; its patterns can be read but not made again"
        )
    settings = simulation_settings(dataset)
    _load_library(dataset, settings)
    crystal = crystal_of(dataset, entry)
    with damage_explained(dataset, f"the structure of row {row}"):
        drawn = draw(settings.augmentation, settings.seed, entry["structure_hash"], list(augmentations))
    with damage_explained(dataset, f"the structure of row {row}"):
        try:
            patterns = engine(settings.engine)(crystal, settings.instrument, drawn)
        except Unsimulable as refused:
            raise StoreError(f"{dataset}: row {row} has patterns, but its structure has none: {refused}") from refused
        stored, maximum = quantise(patterns.intensity)
    return Regenerated(row, drawn, patterns, stored, maximum, crystal)


def simulation_settings(dataset: Where) -> SimulationSettings:
    """Return the settings of the dataset's simulation."""
    with damage_explained(dataset, "its simulation settings"):
        return SimulationSettings.model_validate(read_attributes(dataset)["configuration"]["simulation"])


def _load_library(dataset: Where, settings: SimulationSettings) -> None:
    """Load the library of second phases that the patterns have, if it is not the bundled one."""
    if settings.augmentation.second_phases[1] == 0 or use_library(dataset, settings.augmentation.phase_library):
        return
    raise StructureWithheldError(
        f"{dataset}: its library of second phases was withheld when this dataset was published; its patterns can be "
        "read but not made again"
    )


def structure_of(dataset: Where, row: int) -> dict[str, Any]:
    """Return the curation table's line of a row of the dataset."""
    found = table_lines(dataset, [("row", "=", row)])
    if not found:
        raise StoreError(
            f"{dataset}: expected a line for row {row} in {CURATION_TABLE}, found none; run datagen verify"
        )
    return found[0]


def crystal_of(dataset: Where, entry: dict[str, Any]) -> Crystal:
    """Return the crystal of a line of the curation table; raise StoreError unless it is that of the line's hash."""
    with damage_explained(dataset, f"the structure of row {entry['row']}"):
        crystal = Crystal.from_json(entry["structure"])
    if crystal.structure_hash() != entry["structure_hash"]:
        raise StoreError(
            f"{dataset}: row {entry['row']} of {CURATION_TABLE} has a structure of hash {crystal.structure_hash()}, "
            f"expected its structure_hash, {str(entry['structure_hash'])[:64]}: the table was changed; fetch the "
            "dataset again"
        )
    return crystal


def table_lines(dataset: Where, filters: list[tuple[str, str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of the curation table that pass a filter; the table exists once the dataset is complete."""
    try:
        file = location_of(dataset).arrow_file(CURATION_TABLE)
    except FileNotFoundError:
        raise StoreError(
            f"{dataset}: expected {CURATION_TABLE}, which a complete dataset has; finish the run first"
        ) from None
    with damage_explained(dataset, CURATION_TABLE), file:
        found = read_lines(file, filters)
    if lost := [name for name in NEEDED if found and name not in found[0]]:
        raise StoreError(
            f"{dataset}: expected the column {lost[0]} in {CURATION_TABLE}, found none; fetch the dataset again"
        )
    return found
