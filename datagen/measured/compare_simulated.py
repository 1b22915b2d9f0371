"""Two-sample tests of simulated patterns of several settings against the measured patterns of a dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.verdict import Verdict
from datagen.config.measured import MeasuredSettings
from datagen.measured.bring_scan import bring_scan
from datagen.measured.fit import ScanFit
from datagen.measured.laboratory import RowFit, ScanRow, calibrated_instrument, rows_with_structures
from datagen.measured.two_sample import auc
from datagen.simulate import native
from datagen.simulate.augmentation import AugmentationSettings, draw
from datagen.simulate.instrument import Instrument
from datagen.simulate.refusal import Unsimulable
from datagen.store import reading
from datagen.store.quantise import dequantise

Array = NDArray[np.float64]
DRAWS = 3
"""Simulated patterns of each structure; the area is the mean over them."""


def areas(dataset: Path, fits: list[RowFit], found: dict[str, Any], seed: int = 0) -> dict[str, float]:
    """Return the area under the curve for the presets and for the ranges of `ranges_of`; 0.5 is best.

    Simulated patterns are of the structures of the well-fitted scans. Each stands on the background of its scan, at
    the angles and with the counting noise of that scan, and takes the same path to the instrument: only peaks differ.
    """
    attributes = reading.read_attributes(dataset)
    instrument = Instrument.model_validate(attributes["instrument"])
    path = MeasuredSettings.model_validate(attributes["configuration"]["measured"])
    good = {one.row: one.fit for one in fits if one.fit is not None and one.is_good}
    rows = [one for one in rows_with_structures(dataset) if one.row in good]
    patterns = reading.open_array(dataset, "pattern")
    own = {"count": DRAWS, **found["ranges"], "probability": {"march_r": found["textured_share"]}}
    settings = {
        "alphadiffract": (AugmentationSettings.model_validate({"count": DRAWS}), instrument),
        "realistic": (AugmentationSettings.model_validate({"preset": "realistic", "count": DRAWS}), instrument),
        "calibrated": (AugmentationSettings.model_validate(own), calibrated_instrument(instrument, found)),
    }
    result = {}
    for name, (augmentation, used) in settings.items():
        measured, groups, simulated = [], [], []
        for one in rows:
            peaks = _peaks(one.labels, used, augmentation, seed)
            if peaks is None:
                continue
            fit = good[one.row]
            rng = np.random.default_rng([seed, one.row])
            simulated.append([_as_measured(p, used, one, fit, instrument, path, rng) for p in peaks])
            measured.append(np.asarray(dequantise(np.asarray(patterns[one.row, 0])), dtype=np.float64))
            groups.append(one.labels.group or one.labels.source_id)
        each = [auc(measured, [made[number] for made in simulated], groups) for number in range(DRAWS)]
        result[name] = float(np.mean(each))
    return result


def _peaks(labels: Verdict, instrument: Instrument, settings: AugmentationSettings, seed: int) -> Array | None:
    drawn = draw(settings, seed, labels.structure_hash or "", list(range(DRAWS)))
    try:
        return np.asarray(native.simulate(labels.crystal, instrument, drawn).intensity, dtype=np.float64)
    except Unsimulable:
        return None


def _as_measured(
    peaks: Array,
    used: Instrument,
    one: ScanRow,
    fit: ScanFit,
    instrument: Instrument,
    path: MeasuredSettings,
    rng: np.random.Generator,
) -> Array:
    """Return peaks as this scan would have measured them, at the angles of the instrument, relative to the maximum."""
    x = one.scan.two_theta_deg
    sine = np.sin(np.radians(used.two_theta_deg / 2)) * one.wavelength_A / used.lines[0].wavelength_A
    at_scan = np.degrees(2 * np.arcsin(np.minimum(sine, 1.0)))
    height = float((fit.calculated - fit.smooth).max())
    shape = np.interp(x, at_scan, peaks / peaks.max(), left=0.0, right=0.0)
    expected = np.maximum(np.interp(x, fit.two_theta_deg, fit.smooth), 0.0) + height * shape
    gain = max(float(one.sigma_at_top**2 / one.top), 1e-12)
    scan = replace(one.scan, intensity=rng.poisson(expected / gain) * gain, sigma=None)
    found = bring_scan(scan, one.wavelength_A, instrument, path)
    return found / max(float(found.max()), 1e-12)
