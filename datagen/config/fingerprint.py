"""Where a dataset's numbers come from: what decides them, in words that two runs can be compared by."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from curation.labels import CRYSTAL_SYSTEMS
from datagen import __version__
from datagen.config.config import DatagenConfig
from datagen.config.job import Job
from datagen.steps.curate import CurateJob

SOFTWARE = ("numpy", "numba", "gemmi", "spglib", "zarr", "numcodecs", "mp-pyrho")
TITLE = "Powder diffraction patterns simulated from curated crystal structures"
LICENCE_NOTE = (
    "Each structure has the terms of its source: see the variable licence. Structures from restricted sources, such as "
    "the ICSD, and anything they can be rebuilt from may not be passed on without the source's leave."
)


def job_of(config: DatagenConfig) -> Job:
    """The part of a configuration that shards are made with."""
    return Job(simulation=config.simulation, density=config.density, store=config.store, run=config.run)


def fingerprint_of(config: DatagenConfig) -> dict[str, Any]:
    """Everything that decides what the dataset will hold, as plain values; equal fingerprints give equal bytes."""
    return {**CurateJob.of(config).fingerprint(), **job_of(config).content()}


def attributes_of(config: DatagenConfig) -> dict[str, Any]:
    """The dataset's attributes; nothing in them depends on when, where or how often the run was interrupted."""
    settings = config.simulation
    return {
        "title": TITLE,
        "source": f"pxrd-datagen {__version__}, engine {settings.engine}",
        "software": {"pxrd-datagen": __version__, **{name: version(name) for name in SOFTWARE}},
        "configuration": fingerprint_of(config),
        "crystal_systems": dict(enumerate(CRYSTAL_SYSTEMS, start=1)),
        "instrument": settings.instrument.model_dump(mode="json"),
        "engine": engine_statement(settings.engine),
        "licence_note": LICENCE_NOTE,
    }


def engine_statement(engine: str) -> dict[str, Any]:
    """Which engine made the patterns, and how far it is from GSAS-II."""
    if engine == "gsas2":
        return {"name": "gsas2", "agreement_with_gsas2": "these are GSAS-II's own patterns"}
    from datagen.simulate.agreement import AGREEMENT

    return {"name": engine, "agreement_with_gsas2": AGREEMENT}
