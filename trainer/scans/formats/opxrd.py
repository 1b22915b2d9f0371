"""opXRD JSON: two_theta_values, intensities, and what is known of the sample as JSON within JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from trainer.scans.formats.content import decoded
from trainer.scans.join import join
from trainer.scans.scan import Radiation, Scan, ScanError, ScanRange, unit_of
from trainer.scans.wavelength import wavelength_A

ANGLES, INTENSITIES = "two_theta_values", "intensities"


def read(data: bytes) -> Scan:
    """Read an entry of opXRD."""
    try:
        content = json.loads(decoded(data))
    except (ValueError, RecursionError) as error:
        raise ScanError(f"is not complete JSON ({error})") from error
    if not isinstance(content, dict) or not {ANGLES, INTENSITIES} <= content.keys():
        raise ScanError(f"expected {ANGLES} and {INTENSITIES}, found other JSON")
    try:
        x, y = (np.array(content[key], dtype=np.float64) for key in (ANGLES, INTENSITIES))
    except (TypeError, ValueError, OverflowError) as error:
        raise ScanError(f"expected lists of numbers ({error})") from error
    if x.ndim != 1 or x.shape != y.shape:
        raise ScanError(f"expected as many intensities as angles, found {y.size} and {x.size}")
    label, metadata = _inner(content.get("label")), _inner(content.get("metadata"))
    if label.get("is_simulated") in (True, "true", "True"):
        raise ScanError("holds a simulated pattern, not a measured one")
    lines = _inner(label.get("xray_info"))
    stated = [wavelength_A(str(lines[k])) for k in ("primary_wavelength", "secondary_wavelength") if lines.get(k)]
    sample = metadata.get("filename")
    return join(
        "opxrd",
        [ScanRange(x, y)],
        unit_of(y),
        Radiation(tuple(w for w in stated if w is not None)),
        sample if isinstance(sample, str) else None,
    )


def _inner(text: object) -> dict[str, Any]:
    """Return an object, given as such or as JSON text; empty if it is neither."""
    if isinstance(text, dict):
        return text
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
