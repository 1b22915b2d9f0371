"""A scan file as a refinement needs it: angles, intensities with uncertainties, emission lines, polarisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datagen.errors import DatagenError
from datagen.identification.refinement.model import RADIUS_MM, Measurement

TUBE, SYNCHROTRON = 0.5, 0.99
"""Polarisation, as in the instrument presets."""
SAME_LINE = 2e-3
"""Relative difference up to which a wavelength is that of an anode."""
ALPHA2_SHARE = 0.5
"""Of K-alpha2, relative to K-alpha1, where a file states none."""
SMALLEST_SIGMA = 1e-3
"""Relative to the median: a point without uncertainty would outweigh all others."""


def measurement_of(
    path: Path, wavelength: str | None = None, polarisation: float | None = None, radius_mm: float = RADIUS_MM
) -> Measurement:
    """Read a scan; `wavelength` is a length in A, an energy ("20 keV") or an anode ("CuKa": both lines; "CuKa1")."""
    from trainer.errors import TrainerError
    from trainer.scans.read import read_scan
    from trainer.scans.wavelength import ALPHA_A, parse_wavelength

    try:
        scan = read_scan(path)
        lines = scan.radiation.wavelengths_A
        ratio = scan.radiation.alpha2_ratio or ALPHA2_SHARE
        if wavelength is not None:
            plain = wavelength.lower().replace("-", "").replace("alpha", "a")
            doublet = next((two for anode, two in ALPHA_A.items() if plain == f"{anode.lower()}ka"), None)
            lines = doublet if doublet is not None else (parse_wavelength(wavelength),)
    except TrainerError as error:
        raise DatagenError(str(error)) from error
    if not lines:
        raise DatagenError(f"{path}: the file states no wavelength; give it with --wavelength, such as CuKa or 0.7093")
    weights = (1.0,) if len(lines) == 1 else (1 / (1 + ratio), ratio / (1 + ratio))
    if polarisation is None:
        tube = any(abs(lines[0] / two[0] - 1) < SAME_LINE for two in ALPHA_A.values())
        polarisation = TUBE if tube else SYNCHROTRON
    sigma = scan.uncertainty
    floor = SMALLEST_SIGMA * float(np.median(sigma[sigma > 0])) if (sigma > 0).any() else 1.0
    return Measurement(
        scan.two_theta_deg,
        scan.intensity,
        np.maximum(sigma, floor),
        tuple(lines[:2]),
        weights,
        polarisation,
        radius_mm,
    )
