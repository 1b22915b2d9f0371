"""Accuracy of QMixer on public measured scans: RRUFF as distributed (processed) and as measured (raw).

    python -m benchmarks.measured [--weights FILE.safetensors]

Both sets are public and were used for choosing (ranges of artefacts, sizes of the network): their figures say how far
a choice carried, not how the model does on scans that never influenced it. Labels of RRUFF were assigned by mineral
name in part. The last line is one JSON object; accuracies are fractions.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._data import shared_data
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.qmixer import QMixerPrediction, Weights, load_weights, predict_inputs
from trainer.simulate.log_q import network_input, scan_on_grid

BINS = 10
"""Of confidence, for the calibration error."""


@dataclass(frozen=True)
class Scan:
    """A measured scan with its space group, and its Niggli cell where it is known."""

    name: str
    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]
    wavelength_A: float
    space_group: int
    niggli: NDArray[np.float64] | None = None


def processed(folder: Path) -> Iterator[Scan]:
    """Yield RRUFF's processed scans."""
    with np.load(folder / "measured" / "rruff_processed.npz") as data:
        intensity, groups = data["intensity"], data["space_group"]
        angle = float(data["two_theta_start"]) + float(data["two_theta_step"]) * np.arange(intensity.shape[1])
        for number, (row, group) in enumerate(zip(intensity, groups, strict=True)):
            yield Scan(str(number), angle, row.astype(np.float64), float(data["wavelength_A"]), int(group))


def raw(folder: Path) -> Iterator[Scan]:
    """Yield RRUFF's raw scans with the cells of their CIFs."""
    from catalogs.record import Record
    from curation.curate import curate_record
    from curation.settings import CurationSettings

    with zipfile.ZipFile(folder / "measured" / "rruff_raw.zip") as archive:
        index = csv.DictReader(io.StringIO(archive.read("index.csv").decode()))
        for row in index:
            columns = np.loadtxt(io.StringIO(archive.read(row["pattern"]).decode("latin-1")), usecols=(0, 1))
            cif = archive.read(row["cif"]).decode("utf-8", errors="replace")
            verdict = curate_record(Record("rruff", row["cif"], cif, row["cif"], "unknown"), CurationSettings())
            niggli = None if verdict.niggli is None else np.array(verdict.niggli)
            yield Scan(
                row["sample"],
                columns[:, 0],
                columns[:, 1],
                float(row["wavelength_A"]),
                int(row["space_group"]),
                niggli,
            )


def score(weights: Weights, scans: list[Scan]) -> dict[str, Any]:
    """Return accuracies, calibration error and usable cells of a set."""
    began = time.perf_counter()
    predictions: list[QMixerPrediction] = []
    for first in range(0, len(scans), 64):
        grids = [scan_on_grid(s.two_theta_deg, s.intensity, s.wavelength_A) for s in scans[first : first + 64]]
        usable = [g for g in grids if g is not None]
        assert len(usable) == len(grids), "every scan of these sets is in range"
        inputs = network_input(torch.stack([g[0] for g in usable]), torch.stack([g[1] for g in usable]))
        predictions += predict_inputs(weights, inputs)
    truth = np.array([scan.space_group for scan in scans]) - 1
    systems = np.searchsorted(SYSTEM_ENDS, truth + 1)
    groups = np.array([p.space_group for p in predictions])
    order = np.argsort(-groups, axis=1)
    hit = order[:, 0] == truth
    guessed = np.array([p.crystal_system.argmax() for p in predictions])
    found = {
        "scans": len(scans),
        "crystal_system": float((guessed == systems).mean()),
        "space_group": float(hit.mean()),
        "space_group_top5": float((order[:, :5] == truth[:, None]).any(axis=1).mean()),
        "majority_crystal_system": float(np.bincount(systems).max() / len(systems)),
        "majority_space_group": float(np.bincount(truth).max() / len(truth)),
        "calibration_error": calibration_error(groups.max(axis=1), hit),
        "seconds_per_scan": (time.perf_counter() - began) / len(scans),
    }
    cells = [(p.niggli, s.niggli) for p, s in zip(predictions, scans, strict=True) if s.niggli is not None]
    if cells:
        close = [np.abs(a[:3] / b[:3] - 1).max() < 0.05 and np.abs(a[3:] - b[3:]).max() < 3 for a, b in cells]
        found["cells"] = len(cells)
        found["cells_5_percent_3_deg"] = float(np.mean(close))
        found["median_length_error"] = float(np.median([np.abs(a[:3] / b[:3] - 1).mean() for a, b in cells]))
    return found


def calibration_error(confidence: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over equal bins of confidence."""
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    error = 0.0
    for number in range(BINS):
        here = which == number
        if here.any():
            error += float(here.mean()) * abs(float(confidence[here].mean()) - float(hit[here].mean()))
    return error


def main() -> None:
    """Score both sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, help="weights to score; by default those of the package")
    arguments = parser.parse_args()
    weights, folder = load_weights(arguments.weights), shared_data()
    torch.set_num_threads(1)
    print(weights)
    found: dict[str, float] = {}
    for name, scans in (("rruff_processed", list(processed(folder))), ("rruff_raw", list(raw(folder)))):
        figures = score(weights, scans)
        print(name)
        for key, value in figures.items():
            print(f"  {key:26s} {value:.4g}")
        found |= {f"{name}_{key}": round(value, 5) for key, value in figures.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
