"""Patterns of one structure as an xarray.Dataset, equal bit for bit to those that a run stores."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray

from curation.crystal import Crystal
from curation.settings import CurationSettings
from datagen import __version__
from datagen.config.job import Job
from datagen.config.settings import RunSettings, SimulationSettings, StoreSettings
from datagen.errors import DatagenError
from datagen.inspect.structure_input import record_of
from datagen.inspect.subject import Subject, subject_of
from datagen.simulate import engine
from datagen.simulate.augmentation import draw
from datagen.simulate.density.make import DensitySettings
from datagen.simulate.reflections import crystal_reflections
from datagen.simulate.refusal import Unsimulable
from datagen.steps.labels import most_reflections
from datagen.steps.layout import layout_for
from datagen.steps.row import pattern_values, reflection_values
from datagen.store.schema import variables


def simulated(what: Any, settings: SimulationSettings) -> xarray.Dataset:
    """Return patterns, draws and sticks of the structure `what`, with coordinates and units.

    A structure that curation refuses is simulated as its CIF lists the atoms, with a warning, if it can be read.
    """
    subject = subject_of(record_of(what), CurationSettings.model_validate({}))
    if subject.crystal is None:
        raise DatagenError(f"{subject.name}: no crystal structure could be read: {subject.remark}")
    if subject.remark:
        warnings.warn(f"{subject.name}: a dataset would refuse this structure: {subject.remark}", stacklevel=3)
    return _dataset(subject, subject.crystal, settings)


def _dataset(subject: Subject, crystal: Crystal, settings: SimulationSettings) -> xarray.Dataset:
    instrument, count = settings.instrument, settings.augmentation.count
    augmentations = draw(settings.augmentation, settings.seed, crystal.structure_hash(), range(count))
    try:
        patterns = engine(settings.engine)(crystal, instrument, augmentations)
    except Unsimulable as error:
        raise DatagenError(f"{subject.name}: no pattern can be simulated: {error}") from error
    job = Job(
        simulation=settings,
        density=DensitySettings(),
        store=StoreSettings.model_validate({}),
        run=RunSettings.model_validate({}),
    )
    layout = layout_for(
        job, [most_reflections(crystal, job.d_min_A)], n_structures=1, structures_per_shard=1, any_density=False
    )
    values: dict[str, Any] = {
        **pattern_values(patterns, augmentations, layout, crystal),
        **reflection_values(crystal_reflections(crystal, job.d_min_A, job.dispersion_wavelengths_A), layout),
        "two_theta": instrument.two_theta_deg,
        "augmentation": augmentations.index,
    }
    arrays = {
        variable.name: (
            tuple(dim for dim in variable.dims if dim not in ("structure", "shard")),
            np.asarray(values[variable.name], dtype=variable.dtype),
            variable.cf_attributes(),
        )
        for variable in variables(layout)
        if variable.name in values
    }
    attributes = {
        "title": f"Powder diffraction patterns of {subject.name}",
        "source": f"pxrd-datagen {__version__}, engine {settings.engine}",
        "formula": subject.formula,
        "structure_hash": crystal.structure_hash(),
        "instrument": instrument.model_dump(mode="json"),
        "seed": settings.seed,
    }
    if subject.space_group is not None:
        attributes["space_group"] = subject.space_group
    if subject.remark:
        attributes["refused"] = subject.remark
    return xarray.decode_cf(xarray.Dataset(arrays, attrs=attributes))
