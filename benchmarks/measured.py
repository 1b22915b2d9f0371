"""Accuracy of QMixer on public measured scans: RRUFF as distributed (processed) and as measured (raw).

    python -m benchmarks.measured [--weights FILE.safetensors] [--trained-on curation.parquet]

Each set is scored twice: by the network alone, and with the lines of the scans as `trainer predict` does it. With the
table of verdicts of the training structures, raw scans are scored apart whose formula and space group are in its
training split (`seen`), and those for which they are not (`unseen`).

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
from curation.composition import reduced_formula
from curation.split import group_of
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.cells.weigh import with_lines
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


def predicted(weights: Weights, scans: list[Scan], *, lines: bool) -> list[QMixerPrediction]:
    """Return the answers for scans, by the network alone or with their lines."""
    predictions: list[QMixerPrediction] = []
    for first in range(0, len(scans), 64):
        grids = [scan_on_grid(s.two_theta_deg, s.intensity, s.wavelength_A) for s in scans[first : first + 64]]
        usable = [g for g in grids if g is not None]
        assert len(usable) == len(grids), "every scan of these sets is in range"
        inputs = network_input(torch.stack([g[0] for g in usable]), torch.stack([g[1] for g in usable]))
        found = predict_inputs(weights, inputs)
        predictions += [with_lines(p, x) for p, x in zip(found, inputs.numpy(), strict=True)] if lines else found
    return predictions


def figures_of(predictions: list[QMixerPrediction], scans: list[Scan]) -> dict[str, Any]:
    """Return accuracies, calibration error and usable cells of answers."""
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
    }
    cells = [(p.niggli, s.niggli) for p, s in zip(predictions, scans, strict=True) if s.niggli is not None]
    if cells:
        found["cells"] = len(cells)
        for name, ratio, degrees in (("cells_5_percent_3_deg", 0.05, 3.0), ("cells_1_percent_1_deg", 0.01, 1.0)):
            close = [
                np.abs(a[:3] / b[:3] - 1).max() < ratio and np.abs(a[3:] - b[3:]).max() < degrees for a, b in cells
            ]
            found[name] = float(np.mean(close))
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
    parser.add_argument("--trained-on", type=Path, help="table of verdicts of the training structures")
    arguments = parser.parse_args()
    weights, folder = load_weights(arguments.weights), shared_data()
    torch.set_num_threads(1)
    print(weights)
    found: dict[str, float] = {}

    def show(name: str, figures: dict[str, Any]) -> None:
        print(name)
        for key, value in figures.items():
            print(f"  {key:26s} {value:.4g}")
        found.update({f"{name}_{key}": round(value, 5) for key, value in figures.items()})

    for name, scans in (("rruff_raw", list(raw(folder))), ("rruff_processed", list(processed(folder)))):
        for kind, lines in (("_network", False), ("", True)):
            began = time.perf_counter()
            answers = predicted(weights, scans, lines=lines)
            seconds = (time.perf_counter() - began) / len(scans)
            show(name + kind, figures_of(answers, scans) | {"seconds_per_scan": seconds})
            if arguments.trained_on is None or scans[0].niggli is None:
                continue  # processed scans come without formulas
            groups = seen_groups(arguments.trained_on)
            known = [group_of(formula_of(scan.name), scan.space_group) in groups for scan in scans]
            for part, wanted in (("_seen", True), ("_unseen", False)):
                at = [i for i, is_known in enumerate(known) if is_known is wanted]
                show(name + part + kind, figures_of([answers[i] for i in at], [scans[i] for i in at]))
    print(json.dumps(found))


def seen_groups(table: Path) -> set[str]:
    """Return the groups of the training split of a table of verdicts."""
    import pyarrow.parquet as pq

    chosen = [("status", "=", "accepted"), ("split", "=", "train")]
    return set(pq.read_table(table, columns=["group"], filters=chosen)["group"].to_pylist())


def formula_of(name: str) -> str:
    """Return the reduced formula in a sample's name, such as Mg3Al2(SiO4)3_230."""
    from pymatgen.core.composition import Composition

    amounts = Composition(name.rsplit("_", 1)[0]).get_el_amt_dict()
    return str(reduced_formula({element: float(amount) for element, amount in amounts.items()}))


if __name__ == "__main__":
    main()
