"""Scans for identification: files, folders, archives and datasets of measured patterns, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datagen.errors import DatagenError
from datagen.identification.axis import Observed, observe
from datagen.store.location import locate
from datagen.store.reading import open_xarray, read_metadata


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no scan, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class _Source:
    """A scan before it is read."""

    name: str
    observed: Callable[[float | None], Observed]
    """By the wavelength that overrides what the scan states."""
    path: str = ""
    """What messages begin with, beside the name."""


def read_scans(paths: Sequence[Path], wavelength_A: float | None = None) -> Iterator[tuple[str, Observed] | Unreadable]:
    """Yield each scan with its name, or the reason for which there is none; the others do not depend on it.

    Folders and archives are searched for scan files; of a dataset of measured patterns all scans are read.
    `wavelength_A` overrides what a file states.
    """
    from trainer.errors import TrainerError

    for path in paths:
        try:
            for source in _sources(path):
                try:
                    yield source.name, source.observed(wavelength_A)
                except (TrainerError, DatagenError) as error:
                    yield Unreadable(source.name, str(error).removeprefix(f"{source.path}: "))
        except (TrainerError, DatagenError) as error:  # the folder, archive or dataset itself
            yield Unreadable(path.name, str(error).removeprefix(f"{path}: "))


def _sources(path: Path) -> Iterator[_Source]:
    from trainer.scans.collect import scan_files

    if path.name.endswith(".zarr.zip") or (path / "zarr.json").is_file():
        yield from _of_dataset(path)
        return
    for file in scan_files(path):
        inside = file.name.removeprefix(str(path)).lstrip("/:")
        yield _Source(f"{path.name}:{inside}" if inside else path.name, _from_file(file.read), file.name)


def _from_file(read: Callable[[], object]) -> Callable[[float | None], Observed]:
    from trainer.scans.scan import Scan

    def observed(given_A: float | None) -> Observed:
        scan = read()
        assert isinstance(scan, Scan)
        wavelength_A = given_A or scan.wavelength_A
        if wavelength_A is None:
            raise DatagenError("the file states no wavelength; give it with --wavelength, in A")
        return observe(scan.two_theta_deg, scan.intensity, wavelength_A)

    return observed


def _of_dataset(path: Path) -> Iterator[_Source]:
    """Yield the scans of a dataset as they were measured."""
    location = locate(str(path))
    _, layout = read_metadata(location)
    if not layout.scan_slots:
        raise DatagenError(
            "expected a dataset of measured patterns (datagen measured), found one of simulated patterns"
        )
    dataset = open_xarray(location)

    def scan_of(row: int) -> Callable[[float | None], Observed]:
        def observed(given_A: float | None) -> Observed:
            one = dataset.isel(structure=row)
            n = int(one["n_scan_points"])
            angle, intensity = (
                np.asarray(one[name][:n], dtype=np.float64) for name in ("scan_two_theta", "scan_intensity")
            )
            return observe(angle, intensity, given_A or float(one["scan_wavelength"]))

        return observed

    for row, name in enumerate(dataset["source_id"].values.tolist()):
        yield _Source(f"{path.name}:{name}", scan_of(row))
