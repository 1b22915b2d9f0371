"""Settings of a run that its workers need, written once into the run's folder."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from datagen.config.phases import use_library
from datagen.config.settings import RunSettings, SimulationSettings, StoreSettings
from datagen.simulate.density.make import DensitySettings
from datagen.simulate.phase_library import BUNDLED, LIBRARY_FILE, library_bytes
from datagen.simulate.scattering import GSAS2_HC_EV_A
from datagen.simulate.strain import largest_strain
from datagen.store import files
from datagen.store.schema import FORMAT_VERSION

WORK = ".run"
"""Folder inside the dataset for everything a run needs and a finished dataset does not."""
JOB = "job.json"
PHYSICS_VERSION = 1
"""Rises with every change that makes the same structure and settings come out differently."""


class Job(BaseModel):
    """The settings that shards are made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    simulation: SimulationSettings
    density: DensitySettings
    store: StoreSettings
    run: RunSettings

    @property
    def d_min_A(self) -> float:
        """Smallest distance of lattice planes of the stored reflections."""
        # Lines of a cell that is strained may come into the range.
        seen = self.simulation.instrument.d_min_A / (1.0 + largest_strain(self.simulation.augmentation))
        return seen if self.store.d_min_A is None else min(self.store.d_min_A, seen)

    @property
    def dispersion_wavelengths_A(self) -> tuple[float, ...]:
        """Wavelengths of the dispersion terms of the stored reflections: those of the instrument's lines."""
        return tuple(line.wavelength_A for line in self.simulation.instrument.lines)

    def reflections(self) -> dict[str, Any]:
        """Return what the stored reflections are, for the attributes of the dataset."""
        wavelengths = self.dispersion_wavelengths_A
        return {
            "d_min_A": self.d_min_A,
            "dispersion_wavelengths_A": list(wavelengths),
            "dispersion_energies_eV": [GSAS2_HC_EV_A / wavelength for wavelength in wavelengths],
        }

    def content(self) -> dict[str, Any]:
        """Return the settings that decide the bytes of a shard, as plain values."""
        return {
            "format_version": FORMAT_VERSION,
            "physics_version": PHYSICS_VERSION,
            "simulation": self.simulation.model_dump(mode="json"),
            "density": self.density.model_dump(mode="json"),
            "store": self.store.model_dump(mode="json", exclude={"max_files"}),
        }

    def key(self) -> str:
        """Hash of that content: part of every shard's key."""
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()[:32]


def write_job(dataset: Path, job: Job) -> None:
    """Put the settings, and a library of second phases, where the tasks find them."""
    library = job.simulation.augmentation.phase_library
    if library != BUNDLED:
        files.write_bytes(dataset / WORK / LIBRARY_FILE, library_bytes(library))
    files.write_bytes(dataset / WORK / JOB, (job.model_dump_json(indent=1) + "\n").encode())


def read_job(dataset: Path) -> Job:
    """Return the settings of the run that makes this dataset, and load its library of second phases."""
    job = Job.model_validate_json((dataset / WORK / JOB).read_bytes())
    use_library(dataset / WORK, job.simulation.augmentation.phase_library)
    return job


@cache
def cached_job(dataset: Path, key: str) -> Job:
    """Return the same, read once per process and content."""
    del key
    return read_job(dataset)
