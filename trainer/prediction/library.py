"""Predictions combined with what a library of structures says: the answers file of `datagen identify --out`.

The trainer reads the file alone, so it needs none of datagen's code or dependencies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.models.qmixer import SPACE_GROUPS, SYSTEM_ENDS
from trainer.prediction.qmixer import CRYSTAL_SYSTEMS
from trainer.prediction.result import RankedGroup, RankedSystem, ScanPrediction

MOST_BYTES = 1 << 30
NUMBERS = ("network_weight", "network_floor", "library_weight", "library_floor")
"""Of the product of both, in files before the mean."""


@dataclass(frozen=True)
class LibraryAnswer:
    """Probabilities of space groups by a library, and how the file says to combine them with a network's."""

    space_group: NDArray[np.float64]
    network_share: float | None
    """Weight of the network in the mean of both; None in a file of an earlier version, which states a product."""
    product: tuple[float, ...] = ()
    """NUMBERS."""

    def combined(self, network: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities by both."""
        if self.network_share is not None:
            found = (1.0 - self.network_share) * self.space_group + self.network_share * network
            return np.asarray(found / found.sum(), dtype=np.float64)
        network_weight, network_floor, library_weight, library_floor = self.product
        value = network_weight * np.log(network + network_floor)
        value += library_weight * np.log(self.space_group + library_floor)
        found = np.exp(value - value.max())
        return np.asarray(found / found.sum(), dtype=np.float64)


def read_library_answers(path: Path) -> dict[str, LibraryAnswer]:
    """Return the answers of a file (.jsonl) by the names of the scans; scans without an answer are left out."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TrainerError(f"{path}: larger than {MOST_BYTES:,} bytes, too large for answers")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path}: expected answers of datagen identify --out FILE.jsonl ({error})") from error
    found: dict[str, LibraryAnswer] = {}
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            name = short_name(str(content["scan"]))
            if "error" in content:
                continue
            answer = _answer(content)
        except (ValueError, KeyError, TypeError) as error:
            raise TrainerError(
                f"{path}, line {number}: expected an answer of datagen identify --out FILE.jsonl, found other text "
                f"({type(error).__name__}: {error})"
            ) from error
        if name in found:
            raise TrainerError(f"{path}, line {number}: two answers for a scan named {name}; rename one of the files")
        found[name] = answer
    return found


def short_name(name: str) -> str:
    """Return the name by which a scan is known: the last part of its path, in an archive that of the member."""
    return name.replace(":", "/").rstrip("/").rsplit("/", 1)[-1]


def with_library(found: ScanPrediction, answers: Mapping[str, LibraryAnswer], top: int) -> ScanPrediction:
    """Return a prediction of all space groups combined with the library's answer for its scan, the `top` first groups.

    `details` says what ranks the first group first: library, network, both or neither; "network" where the file has no
    answer for the scan.
    """
    answer = answers.get(short_name(found.file))
    if answer is None:
        details = {**found.details, "decided_by": "network", "library": "no answer for this scan"}
        return replace(found, space_group=found.space_group[:top], details=details)
    network = np.zeros(SPACE_GROUPS)
    by_number = {group.number: group for group in found.space_group}
    for number, group in by_number.items():
        network[number - 1] = group.probability
    both = answer.combined(network)
    order = np.argsort(-both, kind="stable")[:top].tolist()
    systems = np.add.reduceat(both, (0, *SYSTEM_ENDS[:-1]))
    names = {name: number for number, name in enumerate(CRYSTAL_SYSTEMS)}
    ranked = [RankedSystem(s.name, float(systems[names[s.name]]), None) for s in found.crystal_system]
    best = int(both.argmax())
    agree = int(answer.space_group.argmax()) == best, int(network.argmax()) == best
    decided = {(True, True): "both", (True, False): "library", (False, True): "network"}.get(agree, "neither")
    return replace(
        found,
        crystal_system=tuple(sorted(ranked, key=lambda system: -system.probability)),
        space_group=tuple(RankedGroup(i + 1, by_number[i + 1].symbol, float(both[i]), None) for i in order),
        details={**found.details, "decided_by": decided},
    )


def _answer(content: dict[str, Any]) -> LibraryAnswer:
    space_group = np.array(content["library_space_group"], dtype=np.float64)
    if space_group.shape != (SPACE_GROUPS,) or not np.isfinite(space_group).all() or (space_group < 0).any():
        raise ValueError(f"expected {SPACE_GROUPS} probabilities")
    if "network_share" in content["combination"]:
        share = float(content["combination"]["network_share"])
        if not 0.0 <= share <= 1.0:
            raise ValueError("expected a share from 0 to 1")
        return LibraryAnswer(space_group, share)
    # The first version has no weight of the library, which was 1.
    stated = {"library_weight": 1.0, **content["combination"]}
    numbers = [float(stated[name]) for name in NUMBERS]
    if not (np.isfinite(numbers).all() and min(numbers[1::2]) > 0 and min(numbers) >= 0):
        raise ValueError("expected positive weights")
    return LibraryAnswer(space_group, None, tuple(numbers))
