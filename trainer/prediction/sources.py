"""Scans to predict: files, folders, archives, and the scans or patterns of datasets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trainer.data.store import Dataset, StoredScan, open_dataset
from trainer.scans.collect import ScanFile, scan_files
from trainer.scans.scan import Radiation, Scan


def scans_at(path: str | Path) -> Iterator[ScanFile]:
    """Yield the scans at a path; of a dataset the measured scans, or the first pattern of each structure."""
    if not is_dataset(path):
        yield from scan_files(path)
        return
    dataset = open_dataset(path)
    names = dataset.text("source_id")
    read = _measured if dataset.measured else _simulated
    for row in dataset.rows().tolist():
        yield ScanFile(f"{path}:{names[row]}", partial(read, dataset, row))


def is_dataset(path: str | Path) -> bool:
    """Return whether a path is that of a dataset: a folder with zarr.json, a `.zarr.zip`, or a URL."""
    text = str(path)
    return "://" in text or text.endswith(".zarr.zip") or (Path(path) / "zarr.json").is_file()


def as_scan(stored: StoredScan) -> Scan:
    """Return a stored scan as the readers do."""
    radiation = Radiation((stored.wavelength_A,))
    sigma = stored.sigma.astype(np.float64)
    return Scan(stored.two_theta_deg, stored.intensity, "arbitrary", sigma, radiation=radiation, format="dataset")


def _measured(dataset: Dataset, row: int) -> Scan:
    return as_scan(dataset.scan(row))


def _simulated(dataset: Dataset, row: int) -> Scan:
    wavelength = float(dataset.instrument["lines"][0]["wavelength_A"])
    pattern = dataset.pattern(row)[0].astype(np.float64)
    sigma = np.full(len(pattern), dataset.pattern_step)
    radiation = Radiation((wavelength,))
    return Scan(dataset.two_theta_deg, pattern, "arbitrary", sigma, radiation=radiation, format="dataset")
