"""Scan files for identification, read by the trainer's one reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import DatagenError
from datagen.identification.axis import Observed, observe


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no scan, with the reason."""

    name: str
    reason: str


def read_scans(paths: list[Path], wavelength_A: float | None = None) -> Iterator[tuple[str, Observed] | Unreadable]:
    """Yield each scan with its name, or the reason for which a file gave none; folders are searched for files.

    `wavelength_A` overrides what a file states.
    """
    from trainer.errors import TrainerError
    from trainer.scans.read import read_scan

    for path in _files(paths):
        try:
            scan = read_scan(path)
            wavelength = wavelength_A or scan.wavelength_A
            if wavelength is None:
                yield Unreadable(path.name, "the file states no wavelength; give it with --wavelength, in A")
            else:
                yield path.name, observe(scan.two_theta_deg, scan.intensity, wavelength)
        except (TrainerError, DatagenError) as error:
            yield Unreadable(path.name, str(error).removeprefix(f"{path}: "))


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(entry for entry in path.rglob("*") if entry.is_file() and not entry.name.startswith("."))
            if not found:
                raise DatagenError(f"{path}: expected a folder of scans, found no file")
            yield from found
        else:
            yield path
