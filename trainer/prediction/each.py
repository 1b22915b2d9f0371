"""Predictions for many scans, in which one that cannot be read or predicted leaves the others' answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError
from trainer.prediction.api import Predictor, predict_file
from trainer.prediction.result import ScanPrediction
from trainer.prediction.sources import scans_at
from trainer.scans.collect import ScanFile
from trainer.scans.scan import Scan


@dataclass(frozen=True)
class Answer:
    """The prediction for a scan, or the reason for which there is none."""

    name: str
    found: ScanPrediction | None = None
    error: str | None = None
    scan: Scan | None = None
    """The scan, where it is kept for a plot."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"file": self.name, "error": self.error} if self.found is None else self.found.as_dict()


def predict_each(
    predictor: Predictor, paths: Sequence[Path], wavelength: str | None, *, keep_scans: bool = False
) -> Iterator[Answer]:
    """Yield an answer for every scan that the paths lead to: files, folders, archives and datasets."""
    for path in paths:
        try:
            for file in scans_at(path):
                yield _answer(predictor, file, wavelength, keep_scans)
        except TrainerError as error:  # the folder or archive itself
            yield Answer(str(path), error=str(error))


def _answer(predictor: Predictor, file: ScanFile, wavelength: str | None, keep_scan: bool) -> Answer:
    try:
        scan = file.read()
        found = predict_file(predictor, ScanFile(file.name, lambda: scan), wavelength)
    except TrainerError as error:
        return Answer(file.name, error=str(error))
    return Answer(file.name, found, scan=scan if keep_scan else None)


def answers_csv(answers: Sequence[Answer]) -> str:
    """Return a table with a row for each scan: most probable system and group, further groups, Niggli cell.

    `line_odds`, for QMixer, are the log odds that the scan's peaks are lines of the cell.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    cell = ("a", "b", "c", "alpha", "beta", "gamma")
    head = ("file", "error", "wavelength_A", "crystal_system", "probability_system", "space_group", "symbol")
    writer.writerow([*head, "probability_group", "groups", *cell, "line_odds"])
    for answer in answers:
        if answer.found is None:
            writer.writerow([answer.name, answer.error, *[""] * 14])
            continue
        found = answer.found
        system, group = found.crystal_system[0], found.space_group[0]
        odds = next((entry.get("line_odds") for entry in found.details.get("bravais_lattice", [])), None)
        writer.writerow(
            [
                *(answer.name, "", f"{found.wavelength_A:.8g}", system.name, f"{system.probability:.4f}"),
                *(group.number, group.symbol, f"{group.probability:.4f}"),
                " ".join(f"{g.number}:{g.probability:.3f}" for g in found.space_group),
                *(f"{found.niggli_lattice[name].value:.5g}" for name in cell),
                "" if odds is None else f"{odds:.1f}",
            ]
        )
    return text.getvalue()
