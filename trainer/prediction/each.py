"""Predictions for many scans, in which one that cannot be read or predicted leaves the others' answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError
from trainer.prediction.api import Predictor, predict_file
from trainer.prediction.result import ScanPrediction
from trainer.scans.collect import ScanFile, scan_files
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
    """Yield an answer for every scan that the paths lead to: files, folders and archives."""
    for path in paths:
        try:
            for file in scan_files(path):
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
