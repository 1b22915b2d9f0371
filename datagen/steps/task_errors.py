"""Errors of failed tasks: expected ones as they are, others with their traceback."""

from __future__ import annotations

from pathlib import Path

from cluster.task import Failure
from datagen import errors
from datagen.errors import DatagenError
from datagen.store import files

_OURS: dict[str, type[DatagenError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DatagenError)
}


def explained(failure: Failure, where: str, dataset: Path, otherwise: type[DatagenError]) -> DatagenError:
    """Return the error to raise in the driver; `where` names the task, `otherwise` is the class of unexpected ones."""
    ours = _OURS.get(failure.error_type)
    if ours is not None:
        return ours(failure.error.removeprefix(f"{failure.error_type}: "))
    remedy = files.REMEDIES.get(failure.errno or 0)
    if remedy is not None:
        return otherwise(f"{dataset}: {where} cannot be written by {failure.worker} ({failure.error}): {remedy}")
    times = f" {failure.attempts} times, the last time" if failure.attempts > 1 else ""
    return otherwise(f"{dataset}: {where} failed{times} on {failure.worker}: {failure.error}\n{failure.traceback}")
