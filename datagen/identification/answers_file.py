"""A file of answers to many scans, written as they come: a table (.csv) or one JSON object a line (.jsonl)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from curation.labels import CRYSTAL_SYSTEMS
from datagen.errors import ConfigError
from datagen.identification.answer import Identified, Match
from datagen.identification.extinction import members

CELL = ("a", "b", "c", "alpha", "beta", "gamma")
COLUMNS = (
    "scan", "error", "is_explained", "crystal_system", "probability_system", "space_group", "probability_group",
    "extinction_groups", "probability_extinction", "formula", "source", "source_id", "row", "library", "cosine",
    "explained_lines", *(f"conventional_{name}" for name in CELL), *(f"uncertainty_{name}" for name in CELL),
    *(f"niggli_{name}" for name in CELL), "phases",
)  # fmt: skip


class AnswersFile(Protocol):
    """Where answers go."""

    def add(self, answer: Identified) -> None:
        """Write an answer."""

    def fail(self, scan: str, reason: str) -> None:
        """Write the reason for which a scan has none."""


@contextmanager
def answers_file(path: Path, most: int) -> Iterator[AnswersFile]:
    """Open a file for answers, replacing it; `most` candidates of each are kept in JSON lines."""
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--out {path}: expected a file named .csv or .jsonl")
    try:
        opened = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written ({error.strerror or error})") from error
    with opened as file:
        yield _Table(file) if path.suffix == ".csv" else _Lines(file, most)


class _Lines:
    def __init__(self, file: IO[str], most: int) -> None:
        self.file, self.most = file, most

    def add(self, answer: Identified) -> None:
        self._write(
            {
                **answer.to_dict(self.most),
                "library_space_group": np.round(answer.library, 6).tolist(),
                "combination": asdict(answer.combination),
            }
        )

    def fail(self, scan: str, reason: str) -> None:
        self._write({"scan": scan, "error": reason})

    def _write(self, values: dict[str, Any]) -> None:
        self.file.write(json.dumps(values) + "\n")
        self.file.flush()


class _Table:
    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.writer = csv.DictWriter(file, COLUMNS)
        self.writer.writeheader()

    def add(self, answer: Identified) -> None:
        self.writer.writerow(_row(answer))
        self.file.flush()

    def fail(self, scan: str, reason: str) -> None:
        self.writer.writerow({"scan": scan, "error": reason})
        self.file.flush()


def _row(answer: Identified) -> dict[str, Any]:
    systems, groups = answer.crystal_system, answer.space_group
    extinction, probability = next(iter(answer.extinction.items()))
    found: dict[str, Any] = {
        "scan": answer.name,
        "is_explained": answer.is_explained,
        "crystal_system": CRYSTAL_SYSTEMS[int(systems.argmax())],
        "probability_system": f"{systems.max():.4f}",
        "space_group": int(groups.argmax()) + 1,
        "probability_group": f"{groups.max():.4f}",
        "extinction_groups": " ".join(str(number) for number in members(extinction)),
        "probability_extinction": f"{probability:.4f}",
    }
    if answer.candidates:
        best = answer.candidates[0]
        found |= {name: getattr(best, name) for name in ("formula", "source", "source_id", "row", "library")}
        found |= {"cosine": f"{best.cosine:.4f}"} | _cells(best)
        if best.explained_lines is not None:
            found["explained_lines"] = f"{best.explained_lines:.3f}"
    if answer.mixture is not None:
        found["phases"] = "; ".join(
            f"{phase.formula} {phase.space_group} {phase.weight_fraction:.3f}" for phase in answer.mixture.phases
        )
    return found


def _cells(match: Match) -> dict[str, str]:
    kinds = (
        ("conventional", match.conventional),
        ("uncertainty", match.conventional_uncertainty),
        ("niggli", match.niggli),
    )
    return {
        f"{kind}_{name}": f"{value:.6g}"
        for kind, values in kinds
        for name, value in zip(CELL, values or (), strict=False)
    }
