"""Logs of a run: a CSV file and, if TensorBoard is installed, its events."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = ("step", "epoch", "name", "value")


class Log:
    """Appends named numbers to `log.csv` and TensorBoard; a resumed run first drops entries after its start."""

    def __init__(self, folder: Path, start_step: int = 0) -> None:
        self._path = folder / "log.csv"
        kept: list[dict[str, str]] = []
        if start_step and self._path.exists():
            with self._path.open(newline="") as before:
                kept = [row for row in csv.DictReader(before) if _step(row) <= start_step]
        self._file: IO[str] = self._path.open("w", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS)
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._board = _tensorboard(folder, start_step)

    def write(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Append the numbers of a step."""
        for name, value in values.items():
            self._writer.writerow({"step": step, "epoch": f"{epoch:.6g}", "name": name, "value": f"{value:.8g}"})
            if self._board is not None:
                self._board.add_scalar(name.replace("validation_", "validation/", 1), value, step)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def _step(row: Mapping[str, str]) -> int:
    try:
        return int(row["step"])
    except (KeyError, TypeError, ValueError):  # a line truncated when the run was killed
        return 1 << 62


def _tensorboard(folder: Path, start_step: int) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start_step or None)
