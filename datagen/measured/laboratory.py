"""Fits of all scans of a dataset, and the ranges of parameters that they give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.cores import usable_cores
from curation.table import iterate_rows
from curation.verdict import COLUMNS, Verdict
from datagen.errors import DatagenError, StoreError
from datagen.measured.fit import ScanFit, fit_scan
from datagen.simulate.instrument import Instrument
from datagen.simulate.refusal import Unsimulable
from datagen.store import reading
from datagen.store.bounded_table import CURATION_TABLE
from trainer.scans.scan import Radiation, Scan, Unit

Array = NDArray[np.float64]
GOOD_RWP = 0.35
"""Largest weighted profile R factor of a fit that ranges are taken of, unless counting explains more."""
NOISE_EXPLAINS = 1.5
"""A fit is also good if Rwp is at most this many times what counting statistics give."""
INSTRUMENT, SAMPLE, PLACE = (50.0, 50.0), (10.0, 90.0), (5.0, 95.0)
"""Percentiles of a range. U, V and W belong to the diffractometer and get one value, their median: scans determine
their sum well and each of them badly."""
RANGES: dict[str, tuple[float, float]] = {
    "microstrain": SAMPLE,
    "crystallite_size_um": SAMPLE,
    "U_cdeg2": INSTRUMENT,
    "V_cdeg2": INSTRUMENT,
    "W_cdeg2": INSTRUMENT,
    "zero_shift_deg": PLACE,
    "displacement_um": PLACE,
    "march_r": SAMPLE,
}
LEAST_TEXTURE = 0.1
"""Logarithm of march_r from which a sample counts as textured."""
_UNITS: dict[int, Unit] = {0: "arbitrary", 1: "counts", 2: "counts/s"}


@dataclass(frozen=True)
class RowFit:
    """The fit of a row, or the reason for which there is none."""

    row: int
    name: str
    formula: str
    fit: ScanFit | None = None
    reason: str = ""

    @property
    def is_good(self) -> bool:
        """Whether ranges are taken of it."""
        found = self.fit
        return found is not None and found.rwp <= max(GOOD_RWP, NOISE_EXPLAINS * found.expected)

    def as_row(self) -> dict[str, Any]:
        """Return plain values for a table."""
        values = {} if self.fit is None else self.fit.row
        return {"row": self.row, "scan": self.name, "formula": self.formula, "reason": self.reason, **values}


@dataclass(frozen=True, eq=False)
class ScanRow:
    """A row of a measured dataset with its structure."""

    row: int
    labels: Verdict
    scan: Scan
    wavelength_A: float

    @property
    def top(self) -> float:
        """Highest intensity."""
        return float(self.scan.intensity.max())

    @property
    def sigma_at_top(self) -> float:
        """Its uncertainty."""
        return float(self.scan.uncertainty[int(self.scan.intensity.argmax())])


def rows_with_structures(dataset: Path) -> Iterator[ScanRow]:
    """Yield the scans of a dataset whose structures are known."""
    if not reading.read_layout(dataset).measured:
        raise StoreError(f"{dataset}: expected a dataset of measured patterns, found simulated ones")
    group = reading.open_group(dataset)
    read = {name: np.asarray(group[name][...]) for name in ("n_scan_points", "scan_wavelength", "scan_unit")}  # type: ignore[index]
    for line in iterate_rows(dataset / CURATION_TABLE):
        row = line["row"]
        if row is None or not line["structure"]:
            continue
        n = int(read["n_scan_points"][row])
        x, y, sigma = (
            np.asarray(group[f"scan_{name}"][row, :n], dtype=np.float64)  # type: ignore[index]
            for name in ("two_theta", "intensity", "sigma")
        )
        wavelength = float(read["scan_wavelength"][row])
        unit = _UNITS[int(read["scan_unit"][row])]
        scan = Scan(x, y, unit, sigma, radiation=Radiation((wavelength,)), format="dataset")
        labels = Verdict.from_row({name: line[name] for name in COLUMNS if name in line})
        yield ScanRow(int(row), labels, scan, wavelength)


def fit_dataset(
    dataset: Path, *, workers: int | None = None, report: Callable[[int], None] = lambda done: None
) -> list[RowFit]:
    """Fit every scan whose structure is known, in processes; the result does not depend on their number."""
    instrument = Instrument.model_validate(reading.read_attributes(dataset)["instrument"])
    rows = list(rows_with_structures(dataset))
    if not rows:
        raise DatagenError(f"{dataset}: no scan has a structure, which a fit needs")
    found: list[RowFit] = []
    count = min(workers or usable_cores(), len(rows))
    if count == 1:
        for one in rows:
            found.append(_fitted((one, instrument)))
            report(len(found))
        return found
    with ProcessPoolExecutor(count) as pool:
        for result in pool.map(_fitted, [(one, instrument) for one in rows]):
            found.append(result)
            report(len(found))
    return found


def _fitted(work: tuple[ScanRow, Instrument]) -> RowFit:
    one, instrument = work
    name, formula = one.labels.source_id, one.labels.formula or ""
    try:
        return RowFit(one.row, name, formula, fit_scan(one.scan, one.wavelength_A, one.labels, instrument))
    except (Unsimulable, DatagenError) as error:
        return RowFit(one.row, name, formula, reason=str(error))


def ranges_of(fits: Sequence[RowFit]) -> dict[str, Any]:
    """Return the ranges of a laboratory's parameters, the share of textured samples, axial divergence and noise."""
    good = [found.fit for found in fits if found.fit is not None and found.is_good]
    if len(good) < 3:
        raise DatagenError(f"expected at least 3 good fits (Rwp up to {GOOD_RWP:g}) for ranges, found {len(good)}")
    values = {name: np.array([fit.parameters[name] for fit in good]) for name in good[0].parameters}
    ranges: dict[str, tuple[float, float]] = {}
    for name, limits in RANGES.items():
        low, high = (float(f"{v:.4g}") for v in np.percentile(values[name], limits))
        if name == "march_r" or low != 0.0 or high != 0.0:
            ranges[name] = (low, high)
    textured = float(np.mean(np.abs(np.log(values["march_r"])) > LEAST_TEXTURE))
    counts, background = (np.array([getattr(fit, name) for fit in good]) for name in ("counts", "background"))
    return {
        "good_fits": len(good),
        "ranges": ranges,
        "textured_share": textured,
        "sh_over_l": float(f"{np.median(values['sh_over_l']):.3g}"),
        "alpha2_ratio": float(f"{np.median(values['alpha2_ratio']):.3g}"),
        "counts": [float(f"{v:.4g}") for v in np.percentile(counts, PLACE)],
        "background": [float(f"{v:.3g}") for v in np.percentile(background, PLACE)],
    }


def simulation_toml(instrument: Instrument, found: dict[str, Any]) -> str:
    """Return `[simulation]` of a configuration with these ranges."""
    own = calibrated_instrument(instrument, found)
    lines = ", ".join(f"{{wavelength_A = {line.wavelength_A:.8g}, weight = {line.weight:.4g}}}" for line in own.lines)
    counts, background = found["counts"], found["background"]
    parts = [
        f"# From {found['good_fits']} measured scans by `datagen calibrate`.",
        f"# Counts at the maximum: {counts[0]:g} to {counts[1]:g}.",
        f"# Background: {background[0]:g} to {background[1]:g} of the maximum.",
        "[simulation.instrument]",
        f"lines = [{lines}]",
        *(
            f"{name} = {json.dumps(getattr(own, name))}"
            for name in (
                *("polarisation", "sh_over_l", "two_theta_min_deg", "two_theta_max_deg", "n_points", "geometry"),
                "goniometer_radius_mm",
            )
        ),
        "",
        "[simulation.augmentation]",
        *(f"{name} = [{low:g}, {high:g}]" for name, (low, high) in found["ranges"].items()),
        "",
        "[simulation.augmentation.probability]",
        f"march_r = {found['textured_share']:.2f}",
    ]
    return "\n".join(parts) + "\n"


def calibrated_instrument(instrument: Instrument, found: dict[str, Any]) -> Instrument:
    """Return the instrument with the fitted axial divergence and ratio of its two lines."""
    changed: dict[str, Any] = {"sh_over_l": found["sh_over_l"]}
    ratio = found["alpha2_ratio"]
    if len(instrument.lines) == 2 and 0 < ratio < 1:
        weights = (1 / (1 + ratio), ratio / (1 + ratio))
        changed["lines"] = tuple(
            line.model_copy(update={"weight": round(weight, 4)})
            for line, weight in zip(instrument.lines, weights, strict=True)
        )
    return instrument.model_copy(update=changed)
