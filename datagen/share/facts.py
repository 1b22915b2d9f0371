"""Facts of a dataset for its card and metadata: counts, ranges, splits, licences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.labels import CRYSTAL_SYSTEMS
from datagen.share.finished import FinishedDataset
from datagen.share.licences import LicenceSummary, Terms, summary
from datagen.share.published_settings import published_attributes
from datagen.share.reflections_table import rows_with_reflections
from datagen.store.schema import SPLITS


@dataclass(frozen=True)
class Naming:
    """Name, version and creators as the publisher states them."""

    name: str
    version: str = "1.0.0"
    creators: tuple[str, ...] = ()
    url: str = ""
    date: str = ""
    """Of publication, YYYY-MM-DD; empty if none is stated. Never read from a clock."""


@dataclass(frozen=True)
class Facts:
    """Facts of a publication."""

    naming: Naming
    terms: Terms
    n_structures: int
    n_patterns: int
    n_densities: int
    density_method: str | None
    n_points: int
    attributes: dict[str, Any]
    systems: dict[str, int]
    splits: dict[str, int]
    n_space_groups: int
    n_elements: int
    n_groups: int
    volume_A3: tuple[float, float]
    n_atoms: tuple[int, int]
    licences: list[LicenceSummary]
    """Of the rows that are published."""
    has_reflections: bool
    """Whether the reflections of any structure are published."""

    @property
    def has_arrays(self) -> bool:
        """Whether a Zarr group is published, not only labels."""
        return self.terms.profile != "labels"


def facts_of(dataset: FinishedDataset, naming: Naming, terms: Terms) -> Facts:
    """Return the facts of the rows that the terms publish."""
    licences = dataset.column("licence")
    kept = np.array([terms.publishes(licence) for licence in licences.tolist()], dtype=np.bool_)
    systems = Counter(dataset.column("crystal_system")[kept].tolist())
    splits = Counter(dataset.column("split")[kept].tolist())
    volume, n_atoms = dataset.column("volume")[kept], dataset.column("n_atoms")[kept]
    volume = volume[np.isfinite(volume)]  # unknown for some measured scans
    arrays = terms.profile != "labels"
    n = int(kept.sum())
    return Facts(
        naming=naming,
        terms=terms,
        n_structures=n,
        n_patterns=n * dataset.layout.n_augmentations if arrays else 0,
        n_densities=sum(receipt.n_densities for receipt in dataset.receipts.values()) if arrays else 0,
        density_method=dataset.layout.density_method,
        n_points=dataset.layout.n_points,
        attributes=published_attributes(dataset.attributes),
        systems={name: systems[i] for i, name in enumerate(CRYSTAL_SYSTEMS, start=1)},
        splits={name: splits[i] for i, name in enumerate(SPLITS)},
        n_space_groups=len(set(dataset.column("space_group")[kept].tolist())),
        n_elements=int((dataset.column("composition")[kept] > 0).any(axis=0).sum()),
        n_groups=len(set(dataset.column("group")[kept].tolist())),
        volume_A3=(float(volume.min(initial=np.inf)), float(volume.max(initial=0.0))),
        n_atoms=(int(n_atoms.min()), int(n_atoms.max())),
        licences=summary(licences[kept].tolist(), terms),
        has_reflections=bool(rows_with_reflections(dataset, terms)),
    )
