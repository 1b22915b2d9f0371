"""Export of a checkpoint or of weights: which network it is, what its inputs and outputs mean, and the file."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError
from trainer.evaluation.models import load_models
from trainer.evaluation.temperature import CALIBRATION
from trainer.models.alphadiffract import AlphaDiffract
from trainer.models.crystalnet import CrystalNet
from trainer.prediction.api import TrainedModel, load
from trainer.prediction.export.networks import (
    ExportedNetwork,
    alphadiffract_network,
    crystalnet_network,
    qmixer_network,
)
from trainer.prediction.export.onnx_file import write_onnx
from trainer.prediction.predict import model_grid, space_group_symbols
from trainer.prediction.qmixer import CRYSTAL_SYSTEMS, Weights, export_weights, load_weights
from trainer.simulate.axis import CU_KALPHA1_A
from trainer.simulate.log_q import N_ANGLES, STEP_DEG, TWO_THETA_MIN_DEG
from trainer.training import weights as weight_files
from trainer.training.bravais import BRAVAIS
from trainer.training.fit_qmixer import FORMAT as QMIXER_CHECKPOINT

FORMATS = ("safetensors", "onnx")
NEEDED = {"safetensors": ("safetensors",), "onnx": ("onnx", "onnxscript", "onnxruntime")}
STICKS_RADIATION = "Mo K-alpha, 0.71073 angstrom"


@dataclass(frozen=True)
class Exported:
    """An exported file."""

    path: Path
    network: str
    differences: dict[str, float]
    """Of each output of an ONNX file from torch's, relative to its largest value."""


def export(
    checkpoint: str | Path,
    out: str | Path,
    format: str | None = None,  # noqa: A002 - the option's name
    *,
    calibrated: bool = True,
) -> Exported:
    """Write a checkpoint (.pt) or weights (.safetensors) for use without this project.

    `format` is safetensors (weights with their configuration) or onnx (the function from intensities to probabilities),
    by default as the name ends. An ONNX file is compared with torch by onnxruntime before it is written.
    """
    source, target = Path(checkpoint), Path(out)
    chosen = format or target.suffix.removeprefix(".")
    if chosen not in FORMATS:
        raise TrainerError(f"{target}: expected a format out of {', '.join(FORMATS)}, found {chosen!r}")
    if missing := [name for name in NEEDED[chosen] if importlib.util.find_spec(name) is None]:
        raise TrainerError(
            f"--format {chosen}: {missing[0]} is not installed; install the extra `export` of this project"
        )
    if target.exists():
        raise TrainerError(f"{target}: exists already; choose another name")
    if chosen == "safetensors" and source.suffix == weight_files.SUFFIX:
        raise TrainerError(f"{source}: is a file of safetensors already; give --format onnx or a checkpoint (.pt)")
    target.parent.mkdir(parents=True, exist_ok=True)
    if chosen == "onnx":
        network = exportable(source, calibrated=calibrated)
        return Exported(target, network.facts["network"], write_onnx(network, target))
    if _is_qmixer_checkpoint(source):
        export_weights(source, target, {})
        return Exported(target, "qmixer", {})
    (model,), (state,) = load_models([source], torch.device("cpu"), calibrated=calibrated)
    facts = facts_of(TrainedModel(source, model, state))
    # A calibration is part of the weights by now, or not wanted.
    kept = {name: value for name, value in state.dataset.items() if name != CALIBRATION}
    weight_files.save(target, replace(state, dataset=kept), model.state_dict(), facts)
    return Exported(target, facts["network"], {})


def exportable(source: Path, *, calibrated: bool = True) -> ExportedNetwork:
    """Load a checkpoint or weights as a network with its pre- and postprocessing."""
    loaded = _load(source, calibrated=calibrated)
    if isinstance(loaded, Weights):
        return qmixer_network(loaded, facts_of(loaded))
    if isinstance(loaded.model, AlphaDiffract):
        return alphadiffract_network(loaded.model, facts_of(loaded))
    assert isinstance(loaded.model, CrystalNet)
    return crystalnet_network(loaded.model, facts_of(loaded))


def facts_of(loaded: TrainedModel | Weights) -> dict[str, Any]:
    """Return what a user of the file must know: input grid, normalisation, labels, and how it was trained."""
    if isinstance(loaded, Weights):
        return _facts_of_qmixer(loaded)
    dataset = loaded.checkpoint.dataset
    trained = {"dataset": Path(str(dataset.get("path", ""))).name, "steps": loaded.checkpoint.progress.step}
    if isinstance(loaded.model, CrystalNet):
        bins = {"two_theta_min_deg": 0.0, "two_theta_max_deg": 180.0, "bins": 1024, "radiation": STICKS_RADIATION}
        return {
            "network": "crystalnet",
            "grid": bins,
            "normalisation": "the highest entry of xrd_peaks is 1; densities are not normalised",
            "crystal_systems": [dataset["crystal_systems"][number - 1] for number in loaded.config.crystal_systems],  # type: ignore[union-attr]
            "trained": trained,
        }
    grid = model_grid(dataset)
    return {
        "network": "alphadiffract",
        "grid": {
            "two_theta_min_deg": grid.start_deg,
            "two_theta_max_deg": grid.stop_deg,
            "points": dataset["n_points"],
            "wavelength_A": grid.wavelength_A,
            "polarisation": grid.polarisation,
        },
        "normalisation": "in the network: each pattern is scaled to 0..100",
        "labels": {"crystal_system": dataset["crystal_systems"], "space_group": list(space_group_symbols())},
        "trained": trained,
    }


def _facts_of_qmixer(weights: Weights) -> dict[str, Any]:
    return {
        "network": "qmixer",
        "grid": {
            "two_theta_min_deg": TWO_THETA_MIN_DEG,
            "two_theta_max_deg": TWO_THETA_MIN_DEG + STEP_DEG * (N_ANGLES - 1),
            "points": N_ANGLES,
            "wavelength_A": CU_KALPHA1_A,
            "polarisation": 0.5,
        },
        "normalisation": "in the network: background removal, square roots relative to the maximum, bins of ln q",
        "labels": {
            "crystal_system": list(CRYSTAL_SYSTEMS),
            "space_group": list(space_group_symbols()),
            "niggli": list(BRAVAIS),
        },
        "trained": weights.facts,
    }


def _load(source: Path, *, calibrated: bool) -> TrainedModel | Weights:
    if not _is_qmixer_checkpoint(source):
        return load(source, "cpu", calibrated=calibrated)
    with tempfile.TemporaryDirectory() as folder:
        export_weights(source, Path(folder) / "weights.safetensors", {})
        return load_weights(Path(folder) / "weights.safetensors")


def _is_qmixer_checkpoint(source: Path) -> bool:
    """Return whether a file is a checkpoint of `trainer fit qmixer`; anything unreadable is not."""
    if source.suffix == weight_files.SUFFIX or not source.is_file():
        return False
    try:
        content = torch.load(source, map_location="meta", weights_only=True)
    except Exception:  # noqa: BLE001 - the reader of checkpoints says what is wrong with the file
        return False
    return isinstance(content, dict) and content.get("format") == QMIXER_CHECKPOINT
