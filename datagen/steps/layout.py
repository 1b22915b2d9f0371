"""Variables, sizes and number of files of a dataset, from its settings and structures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from datagen.config.job import Job
from datagen.simulate.augmentation import AugmentationSettings, effective
from datagen.simulate.parameter import Parameter
from datagen.simulate.parameters import always_stored, optionally_stored
from datagen.simulate.phase_library import BUNDLED
from datagen.steps.labels import shard_reflections
from datagen.steps.row import STRAINED_CELL
from datagen.store.schema import NIGGLI, Draw, Layout, variables


def _as_stored(parameters: Iterable[Parameter], phase_library: str = BUNDLED) -> tuple[Draw, ...]:
    return tuple(
        Draw(p.name, p.units, p.description, p.axis, _DTYPES[p.dtype], p.names(phase_library) if p.names else ())
        for p in parameters
    )


_DTYPES = {np.float64: "float64", np.int64: "int16"}
"""Stored type by the type of the draws: whole numbers are indices of planes and of phases."""


STRAINED = Draw(
    STRAINED_CELL,
    "angstrom angstrom angstrom degree degree degree",
    "Strained cell of the pattern: a, b, c, alpha, beta, gamma; not reduced again",
    ("niggli_parameter", len(NIGGLI)),
)
"""A label that follows from crystal and strain."""


def draws() -> tuple[Draw, ...]:
    """Return the draws that every dataset stores."""
    return _as_stored(always_stored())


def extra_draws(settings: AugmentationSettings) -> tuple[Draw, ...]:
    """Return the draws that can have an effect under these settings and are therefore stored."""
    varied = effective(settings)
    strained = any(p.name.startswith("strain_") for p in varied)
    return (*_as_stored(varied, settings.phase_library), *((STRAINED,) if strained else ()))


def known_draws() -> tuple[Draw, ...]:
    """Return every draw that a dataset of this version can have, with the names of the bundled second phases."""
    return (*draws(), *_as_stored(optionally_stored()), STRAINED)


def layout_for(
    job: Job,
    most_reflections: Iterable[int],
    *,
    n_structures: int,
    structures_per_shard: int,
    any_density: bool,
    text_bytes: dict[str, int] | None = None,
    label_rows: int | None = None,
) -> Layout:
    """Return the layout of a dataset with these settings; `most_reflections` bounds those of each crystal."""
    simulation = job.simulation
    patterns = job.store.patterns == "all"
    with_densities = job.density.method == "independent_atoms" or any_density
    return Layout(
        n_structures=n_structures,
        n_augmentations=simulation.augmentation.count if patterns else 0,
        n_points=simulation.instrument.n_points,
        structures_per_shard=structures_per_shard,
        shard_reflections=shard_reflections(most_reflections, structures_per_shard),
        n_lines=len(simulation.instrument.lines),
        text_bytes=text_bytes or {},
        label_rows=label_rows,
        with_xrd_peaks=job.store.xrd_peaks == "all" or (job.store.xrd_peaks == "with_density" and with_densities),
        density_method=job.density.method if with_densities else None,
        draws=draws() if patterns else (),
        extra_draws=extra_draws(simulation.augmentation) if patterns else (),
    )


def files_of(layout: Layout) -> int:
    """Return the largest number of files of a dataset: arrays, metadata, ledger, table and report."""
    chosen = variables(layout)
    in_shards = sum(v.home == "shard" for v in chosen)
    labels = sum(v.home == "label" for v in chosen) * math.ceil(layout.n_structures / layout.rows_per_label_file)
    return layout.n_shards * (in_shards + 1) + labels + 2 * len(chosen) + 8
