"""Training of networks on powder-diffraction datasets, and predictions for measured scans.

    trainer.PatternDataset("my.zarr")         patterns and labels as a torch dataset
    trainer.load("best.pt")                   a trained network with its settings
    trainer.predict("best.pt", "scan.xye")    ranked crystal systems, space groups and a cell
    trainer.export("best.pt", "model.onnx")   a file that runs without this package

Importing the package loads none of its dependencies, torch included; each name does when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["PatternDataset", "export", "load", "predict"]

if TYPE_CHECKING:
    from trainer import errors as errors
    from trainer.prediction.api import load, predict
    from trainer.prediction.export.export import export
    from trainer.training.pattern_dataset import PatternDataset

_HOMES = {
    "PatternDataset": "trainer.training.pattern_dataset",
    "export": "trainer.prediction.export.export",
    "load": "trainer.prediction.api",
    "predict": "trainer.prediction.api",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("trainer.errors")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
