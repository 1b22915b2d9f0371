"""The functions of `import datagen`; the command line calls the same ones."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from datagen.errors import ConfigError, DatagenError

if TYPE_CHECKING:
    import xarray
    from numpy.typing import ArrayLike
    from pydantic import BaseModel
    from pymatgen.core.structure import Structure

    from cluster.config import ClusterSection, Profile
    from curation.crystal import Crystal
    from curation.explain import Explanation
    from curation.settings import CurationSettings
    from curation.verdict import Verdict
    from datagen.config.config import DatagenConfig
    from datagen.identification.answer import Identified
    from datagen.identification.refinement.refine import Refinement
    from datagen.inspect.structure_input import AseAtoms
    from datagen.progress import Display
    from datagen.simulate.instrument import Instrument
    from datagen.steps.curate import Summary
    from datagen.steps.outcome import Outcome

Model = TypeVar("Model", bound="BaseModel")
PathLike = str | os.PathLike[str]


def load_config(config: DatagenConfig | Mapping[str, Any] | PathLike, overrides: Sequence[str] = ()) -> DatagenConfig:
    """Validate a configuration.

    Parameters
    ----------
    config : path or mapping
        A TOML file; or a folder, archive, table or file of structures, which gets all defaults; or the content of a
        configuration as a mapping.
    overrides : sequence of str
        Changes of single settings, such as ``"simulation.seed=3"``.

    Returns
    -------
    DatagenConfig
        Frozen; `model_dump()` gives plain values.

    Raises
    ------
    ConfigError
        Lists every mistake with its place, what was expected and what was found.
    """
    from datagen.config.config import DatagenConfig, config_for_path, parse_config

    if isinstance(config, DatagenConfig):
        if overrides:
            raise ConfigError("overrides change a file or a mapping; change a DatagenConfig by model_copy")
        return config
    if isinstance(config, Mapping):
        return parse_config(config, where="configuration", base=Path.cwd(), overrides=overrides)
    return config_for_path(Path(config), overrides)


def run(
    config: DatagenConfig | Mapping[str, Any] | PathLike,
    out: PathLike | None = None,
    *,
    cluster: str | None = None,
    workers: int | None = None,
    extend: bool = False,
    overrides: Sequence[str] = (),
    display: Display | None = None,
) -> Outcome:
    """Make a dataset: curate, simulate, store, verify, report. Calling it again resumes an interrupted run.

    Parameters
    ----------
    config : path, mapping or DatagenConfig
        As for `load_config`.
    out : path, optional
        Folder of the dataset; by default the configuration's name with ``.zarr``, in the working directory.
    cluster : str, optional
        Where the work is done: a kind, such as ``"local"`` or ``"slurm"``, or the name of a ``[cluster.NAME]`` section.
    workers : int, optional
        Number of worker processes.
    extend : bool
        Add to the finished dataset what the catalogs hold and it does not.
    overrides : sequence of str
        Changes of single settings, such as ``"simulation.seed=3"``.
    display : Display, optional
        Where progress is shown; by default on standard error.

    Returns
    -------
    Outcome
        Counts, sizes and times of the finished run, and the path of the dataset.
    """
    from datagen.followup.extend import extend as make_more
    from datagen.run import run as make

    settings = load_config(config, overrides)
    dataset = Path(out) if out is not None else default_dataset(config)
    if extend:
        return make_more(settings, dataset, profile=profile_of(settings.cluster, cluster, workers), display=display)
    return make(settings, dataset, profile=profile_of(settings.cluster, cluster, workers), display=display)


def render(
    dataset: PathLike,
    out: PathLike,
    *,
    instrument: str | Mapping[str, Any] | Instrument | None = None,
    count: int | None = None,
    preset: str | None = None,
    seed: int | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    display: Display | None = None,
) -> Outcome:
    """Make stored patterns of the structures of a dataset, equal to those of a run with these settings.

    Calling it again resumes an interrupted run.

    Parameters
    ----------
    dataset : path, URL or registered name
        A complete dataset, with patterns or without.
    out : path
        Folder of the new dataset.
    instrument : str, mapping or Instrument, optional
        As for `simulate`; by default the dataset's own, as are the next three.
    count : int, optional
        Patterns per structure.
    preset : str, optional
        Ranges of the augmentation parameters.
    seed : int, optional
        Seed of their draws.
    cluster : str, optional
        Where the work is done, as for `run`.
    workers : int, optional
        Number of worker processes.
    overrides : sequence of str
        As for `run`; only settings of simulation, store, run and cluster can be overridden.
    display : Display, optional
        Where progress is shown; by default on standard error.

    Returns
    -------
    Outcome
        Counts, sizes and times, and the path of the new dataset.
    """
    from datagen.followup.render import configuration_of
    from datagen.followup.render import render as make
    from datagen.share.finished import open_finished
    from datagen.share.registry import resolve_dataset

    source = open_finished(resolve_dataset(str(dataset)))
    augmentation: dict[str, Any] = dict(source.configuration["simulation"]["augmentation"])
    if preset is not None:
        augmentation = {"preset": preset, "count": augmentation["count"]}
    if count is not None:
        augmentation["count"] = count
    given = {"instrument": instrument, "seed": seed, "augmentation": augmentation}
    simulation = {name: value for name, value in given.items() if value is not None}
    config = configuration_of(source, simulation, overrides)
    return make(source, config, Path(out), profile=profile_of(config.cluster, cluster, workers), display=display)


def curate(
    what: Structure | AseAtoms | PathLike, settings: CurationSettings | Mapping[str, Any] | None = None
) -> Verdict:
    """Curate one structure.

    Parameters
    ----------
    what : pymatgen Structure, ASE Atoms, path or str
        The structure; a path of a CIF file, or the text of a CIF.
    settings : CurationSettings or mapping, optional
        Thresholds and policies; by default those of a run.

    Returns
    -------
    Verdict
        Accepted with labels, or refused with a reason; `explain()` tells what every check found.
    """
    from curation.curate import curate_record
    from datagen.inspect.structure_input import record_of

    return curate_record(record_of(what), _curation_settings(settings))


def simulate(
    what: Structure | AseAtoms | PathLike,
    instrument: str | Mapping[str, Any] | Instrument = "alphadiffract",
    count: int = 100,
    seed: int = 0,
    *,
    engine: str = "native",
    preset: str = "alphadiffract",
) -> xarray.Dataset:
    """Simulate the patterns of one structure: bit for bit what a run with these settings stores.

    Parameters
    ----------
    what : pymatgen Structure, ASE Atoms, path or str
        The structure; a path of a CIF file, or the text of a CIF.
    instrument : str, mapping or Instrument
        A preset (``alphadiffract``, ``cu_kalpha1``, ``cu_kalpha``, ``mo_kalpha``), or a table as in a configuration:
        ``{"base": "cu_kalpha", "two_theta_max_deg": 120}``.
    count : int
        Number of patterns, each with its own broadening.
    seed : int
        Seed of the drawn parameters.
    engine : str
        ``native``, or ``gsas2`` if GSAS-II is installed.
    preset : str
        Ranges of the drawn parameters: ``alphadiffract``, ``realistic`` or ``measured``.

    Returns
    -------
    xarray.Dataset
        ``pattern`` (augmentation, two_theta) relative to each pattern's maximum, every drawn parameter, and the sticks.
    """
    from datagen.config.settings import SimulationSettings
    from datagen.inspect.simulated import simulated

    augmentation = {"preset": preset, "count": count}
    values = {"engine": engine, "seed": seed, "instrument": instrument, "augmentation": augmentation}
    return simulated(what, _validated(SimulationSettings, values, "simulate"))


def explain(
    what: Verdict | Structure | AseAtoms | PathLike,
    settings: CurationSettings | Mapping[str, Any] | None = None,
    *,
    dataset: PathLike | None = None,
) -> Explanation:
    """Explain a verdict: what every check found, what it expected, and how it ended.

    Parameters
    ----------
    what : Verdict, or a structure as for `curate`
        With `dataset`, the id of a record, its file name, or the start of its structure hash.
    settings : CurationSettings or mapping, optional
        The settings that the verdict was reached under; by default those of a run.
    dataset : path, optional
        A dataset, or a folder or table that `datagen curate` wrote, to look the verdict up in.

    Returns
    -------
    Explanation
        Prints as a table; `checks` has the values.
    """
    from curation.verdict import Verdict
    from datagen.inspect.find_verdict import look_up

    if dataset is not None:
        found = look_up(str(what), Path(dataset))
        return found.verdict.explain(found.settings)
    settings = _curation_settings(settings)
    return (what if isinstance(what, Verdict) else curate(what, settings)).explain(settings)


def identify(
    scans: PathLike | Sequence[PathLike] | tuple[ArrayLike, ArrayLike],
    library: PathLike | Sequence[PathLike],
    *,
    wavelength_A: float | None = None,
    elements: str | Sequence[str] | None = None,
    require: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    max_volume_A3: float | None = None,
    network: bool | PathLike = False,
    phases: int = 1,
) -> list[Identified]:
    """Find the structures of datasets that explain measured scans, with cells free to change as symmetry allows.

    Parameters
    ----------
    scans : path, list of paths, or (two_theta_deg, intensity)
        Scan files, folders or archives of them, or measured datasets; or one scan as two arrays, which needs
        `wavelength_A`.
    library : path or list of paths
        Datasets whose structures are compared: folder, zip, address or registered name. The index of a dataset is made
        beside it at first use.
    wavelength_A : float, optional
        Wavelength instead of what the files state.
    elements : str or list of str, optional
        Only structures of these elements.
    require : str or list of str, optional
        Only structures with all of these elements.
    exclude : str or list of str, optional
        Only structures with none of these elements.
    max_volume_A3 : float, optional
        Largest volume of the primitive cell.
    network : bool or path
        Whether to combine the answer with that of the package's trained network (needs torch), or other weights.
    phases : int
        Largest number of phases of a scan. Above 1 mixtures are separated: `mixture` of each answer has the phases.

    Returns
    -------
    list of Identified
        For each scan ranked candidates and probabilities of space group, extinctions and crystal system. A file that
        cannot be read is a warning; raises DatagenError where none can.
    """
    import numpy as np

    from datagen.identification.axis import observe
    from datagen.identification.filters import allowed_structures
    from datagen.identification.identify import identify as find
    from datagen.identification.index_build import open_index
    from datagen.identification.network import Network
    from datagen.identification.scan_files import Unreadable, read_scans
    from datagen.share.registry import resolve_dataset

    libraries = [library] if isinstance(library, str | os.PathLike) else library
    indexes = [open_index(resolve_dataset(os.fspath(name))) for name in libraries]
    allowed = [
        allowed_structures(index, only=elements, require=require, exclude=exclude, max_volume_A3=max_volume_A3)
        for index in indexes
    ]
    second = None
    if network is not False:
        second = Network(None if network is True else Path(network))
    if isinstance(scans, tuple):
        if wavelength_A is None:
            raise DatagenError("a scan given as arrays needs wavelength_A")
        two_theta_deg, intensity = (np.asarray(values, dtype=np.float64) for values in scans)
        scan = observe(two_theta_deg, intensity, wavelength_A)
        return find(indexes, [("scan", scan)], allowed=allowed, network=second, phases=phases)
    observed, unreadable = [], []
    paths = [Path(path) for path in ([scans] if isinstance(scans, str | os.PathLike) else scans)]
    for found in read_scans(paths, wavelength_A):
        if isinstance(found, Unreadable):
            unreadable.append(f"{found.name}: {found.reason}")
        else:
            observed.append(found)
    if unreadable and not observed:
        raise DatagenError(unreadable[0])
    for message in unreadable:
        warnings.warn(message, stacklevel=2)
    return find(indexes, observed, allowed=allowed, network=second, phases=phases)


def refine(
    scan: PathLike,
    structure: Structure | AseAtoms | PathLike,
    *,
    library: PathLike | None = None,
    wavelength: str | float | None = None,
    shift: str = "zero",
    texture: tuple[int, int, int] | None = None,
    le_bail: bool = False,
    polarisation: float | None = None,
    radius_mm: float | None = None,
) -> Refinement:
    """Refine cell, shift, widths, background and scale of a structure against a scan, with the native engine.

    Parameters
    ----------
    scan : path
        Scan file of any format that `trainer.scans` reads.
    structure : pymatgen Structure, ASE Atoms, path or str
        The structure; with `library` an id, a structure hash or a row of that dataset.
    library : path or str, optional
        Dataset that holds the structure.
    wavelength : str or float, optional
        In A, an energy such as ``"20 keV"``, or an anode: ``"CuKa"`` for both lines, ``"CuKa1"``.
    shift : str
        Shift of the angles to refine: ``zero``, ``displacement`` (Bragg-Brentano) or ``both``.
    texture : tuple of int, optional
        Axis of preferred orientation, indices of the conventional cell.
    le_bail : bool
        Take the intensities from the scan instead of the structure.
    polarisation : float, optional
        Fraction P; by default 0.5 at the wavelength of an anode, else 0.99.
    radius_mm : float, optional
        Of the goniometer, 200 by default; a refined displacement is proportional to it.

    Returns
    -------
    Refinement
        ``cell`` and ``cell_uncertainty`` (conventional), ``r_wp``, ``goodness``, ``fit.values``, ``fit.calculated``.
    """
    from datagen.identification.refinement.measurement import measurement_of
    from datagen.identification.refinement.model import RADIUS_MM
    from datagen.identification.refinement.phase import phase_of
    from datagen.identification.refinement.refine import refine as fit

    names = {"zero": "zero_deg", "displacement": "displacement_um", "both": "both"}
    if shift not in names:
        raise DatagenError(f"shift: expected {', '.join(names)}, found {shift!r}")
    if le_bail and texture is not None:
        raise DatagenError(
            "texture: Le Bail takes the intensities from the scan, so texture has no effect; leave out one"
        )
    if radius_mm is not None and shift == "zero":
        raise DatagenError("radius: has no effect on a zero shift; refine the displacement or both, or leave it out")
    if radius_mm is not None and not 0 < radius_mm < math.inf:
        raise DatagenError(f"radius: expected more than 0 mm, found {radius_mm:g}")
    named = f"{wavelength} A" if isinstance(wavelength, int | float) else wavelength
    radius = RADIUS_MM if radius_mm is None else radius_mm
    measurement = measurement_of(Path(scan), named, polarisation, radius)
    crystal, name = _crystal_of(structure, library)
    phase = phase_of(crystal, name, measurement.wavelengths_A[0], measurement.q_range)
    return fit(phase, measurement, shift=names[shift], texture_axis=texture, le_bail=le_bail)


def _crystal_of(structure: Structure | AseAtoms | PathLike, library: PathLike | None) -> tuple[Crystal, str]:
    """Return a crystal and its name, from a dataset if one is given."""
    from curation.crystal import Crystal
    from curation.settings import CurationSettings
    from datagen.inspect.replay import find_line
    from datagen.inspect.structure_input import record_of
    from datagen.inspect.subject import subject_of
    from datagen.share.registry import resolve_dataset
    from datagen.store.damaged import damage_explained

    if library is None:
        subject = subject_of(record_of(structure), CurationSettings.model_validate({}))
        if subject.crystal is None:
            raise DatagenError(f"{subject.name}: no crystal structure could be read: {subject.remark}")
        return subject.crystal, subject.name
    dataset = resolve_dataset(os.fspath(library))
    line = find_line(dataset, str(structure))
    if not line["structure"]:
        raise DatagenError(f"{dataset}: the coordinates of {structure} were withheld when it was published")
    with damage_explained(dataset, f"the structure of {structure}"):
        return Crystal.from_json(line["structure"]), str(line["source_id"])


def open_dataset(dataset: PathLike) -> xarray.Dataset:
    """Open a dataset, finished or in the making, for reading.

    Parameters
    ----------
    dataset : path or str
        A folder, a ``.zarr.zip``, a URL (``https://``, ``s3://``), or a name registered by ``datagen datasets``.

    Returns
    -------
    xarray.Dataset
        Labels as text; arrays are read when they are used.
    """
    from datagen.share.registry import resolve_dataset
    from datagen.store.reading import open_xarray

    return open_xarray(resolve_dataset(os.fspath(dataset)))


def curate_catalogs(
    config: DatagenConfig | Mapping[str, Any] | PathLike,
    out: PathLike | None = None,
    *,
    processes: int | None = None,
    overrides: Sequence[str] = (),
    restart: bool = False,
    display: Display | None = None,
) -> Summary:
    """Curate every structure of a configuration's catalogs into one table, on this machine. Resumes as `run` does."""
    from curation.cores import usable_cores
    from datagen.config.fingerprint import CurateJob
    from datagen.progress import Display
    from datagen.steps.curate import curate as curate_all
    from datagen.steps.curation_display import CurationDisplay

    job = CurateJob.of(load_config(config, overrides))
    folder = Path(out) if out is not None else Path(f"{_stem(config, 'catalog')}-curated")
    with CurationDisplay(display or Display()) as progress:
        return curate_all(job, folder, processes=processes or usable_cores(), restart=restart, progress=progress)


def default_dataset(config: DatagenConfig | Mapping[str, Any] | PathLike) -> Path:
    """Return the folder that a run writes to if none is given: the configuration's name with .zarr."""
    return Path(f"{_stem(config, 'dataset')}.zarr")


def profile_of(section: ClusterSection, cluster: str | None = None, workers: int | None = None) -> Profile:
    """Return the cluster profile of that name or kind, with another number of workers if one is given."""
    profile = section.choose(cluster)
    if workers is None:
        return profile
    if "workers" not in type(profile).model_fields:
        raise ConfigError(
            f"workers: a cluster of kind {profile.kind!r} decides itself how many there are; leave it out"
        )
    return profile.model_copy(update={"workers": workers})


def _curation_settings(settings: CurationSettings | Mapping[str, Any] | None) -> CurationSettings:
    from curation.settings import CurationSettings

    return (
        settings if isinstance(settings, CurationSettings) else _validated(CurationSettings, settings or {}, "settings")
    )


def _validated(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Return a model of these values, or raise the list of their mistakes."""
    from pydantic import ValidationError

    from datagen.config.mistakes import explain as mistakes_in

    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(mistakes_in(error, model, where)) from None


def _stem(config: Any, otherwise: str) -> str:
    if not isinstance(config, str | os.PathLike):
        return otherwise
    path = Path(config)
    name = path.name if path.name not in ("", "..") else path.resolve().name
    return name.split(".")[0] or otherwise
