"""A scan as a dataset keeps it: at the angles of its instrument, and as it was measured."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.config.measured import MeasuredSettings
from datagen.simulate.instrument import Instrument
from datagen.store.schema import UNITS
from trainer.scans.alpha2 import without_alpha2
from trainer.scans.bring import Grid, bring, snip
from trainer.scans.scan import Scan

BACKGROUND_SHARE = 40
"""The background is what is left of peaks narrower than twice this fraction of the range."""
_UNIT = {"arbitrary": UNITS[0], "counts": UNITS[1], "counts/s": UNITS[2]}


def grid_of(instrument: Instrument) -> Grid:
    """Return the angles and radiation of an instrument."""
    return Grid(
        instrument.two_theta_min_deg,
        instrument.two_theta_max_deg,
        instrument.n_points,
        instrument.lines[0].wavelength_A,
        instrument.polarisation,
    )


def bring_scan(
    scan: Scan, wavelength_A: float, instrument: Instrument, settings: MeasuredSettings
) -> NDArray[np.float64]:
    """Return the intensities of a scan at the angles of an instrument, none of them negative."""
    if settings.alpha2 == "match" and len(instrument.lines) == 1 and scan.wavelength_A == wavelength_A:
        scan = without_alpha2(scan)
    intensity = bring(scan, grid_of(instrument), wavelength_A).intensity
    if settings.background == "remove":
        intensity = intensity - snip(intensity, instrument.n_points // BACKGROUND_SHARE)
    return np.maximum(intensity, 0.0)


def stored_scan(scan: Scan, wavelength_A: float) -> dict[str, NDArray[Any]]:
    """Return the arrays of the scan as measured."""
    x, y = scan.two_theta_deg, scan.intensity
    digest = hashlib.sha256(np.concatenate([x, y, [wavelength_A]]).tobytes()).digest()
    return {
        "scan_two_theta": x,
        "scan_intensity": y,
        "scan_sigma": scan.uncertainty.astype(np.float32),
        "scan_wavelength": np.asarray(wavelength_A),
        "scan_unit": np.asarray(UNITS.index(_UNIT[scan.unit]), dtype=np.uint8),
        "scan_sha256": np.frombuffer(digest, dtype=np.uint8),
    }
