"""Checkpoints and predictions from Python: `trainer.load` and `trainer.predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.errors import TrainerError
from trainer.evaluation.gradcam import attention
from trainer.evaluation.models import load_models
from trainer.models.alphadiffract import AlphaDiffract
from trainer.prediction import predict as scaled
from trainer.prediction.cells.weigh import with_lines
from trainer.prediction.qmixer import Weights, inputs_of_scan, load_weights, predict_inputs, ranked
from trainer.prediction.result import ScanPrediction
from trainer.prediction.sources import scans_at
from trainer.scans.bring import polarisation_ratio, snip
from trainer.scans.collect import ScanFile
from trainer.scans.scan import Scan
from trainer.simulate.axis import CU_KALPHA1_A
from trainer.simulate.noise import standardise
from trainer.training.checkpoint import Checkpoint
from trainer.training.config import kind_of
from trainer.training.distributed import alone
from trainer.training.ensemble import is_ensemble, with_members
from trainer.training.weights import FORMAT, format_of
from trainer.training.weights import SUFFIX as WEIGHTS_SUFFIX

if TYPE_CHECKING:
    from trainer.training.config import Config

GRIDS = ("two_theta_min_deg", "two_theta_max_deg", "n_points", "instrument")
DRAWS = 8
"""Patterns that are redrawn for the spread of an answer."""
ScanSource = str | Path | Scan
"""A file, a folder or an archive of files, a dataset, or a scan at hand."""


@dataclass(frozen=True, repr=False)
class TrainedModel:
    """A checkpoint of `trainer fit`: the network with its weights, ready to predict, and how it was trained."""

    path: Path
    model: nn.Module
    checkpoint: Checkpoint

    @property
    def config(self) -> Config:
        """Settings of the training run."""
        return self.checkpoint.config

    @property
    def kind(self) -> str:
        """Return the name of the network: alphadiffract or crystalnet."""
        return kind_of(self.config)

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        progress = self.checkpoint.progress
        return (
            f"TrainedModel({self.kind}, {millions:.2f} million parameters, {progress.step:,} steps on "
            f"{self.checkpoint.dataset.get('path', 'an unknown dataset')})"
        )


Loaded = TrainedModel | Weights


def load(checkpoint: str | Path | None = None, device: str = "auto", *, calibrated: bool = True) -> Loaded:
    """Load a checkpoint (.pt), exported weights (.safetensors), or without a path the weights of the package.

    A calibration that `trainer calibrate` kept in the checkpoint is applied unless `calibrated` is false.
    """
    path = None if checkpoint is None else Path(checkpoint)
    if path is None or (path.suffix == WEIGHTS_SUFFIX and format_of(path) != FORMAT):
        if not calibrated:
            raise TrainerError(f"{path or 'QMixer'}: its calibration is part of the weights; leave out --uncalibrated")
        return load_weights(path).to(alone(device).device)
    (model,), (state,) = load_models([path], alone(device).device, calibrated=calibrated)
    return TrainedModel(path, model, state)


def predict(
    checkpoint: str | Path | Loaded | Sequence[str | Path | Loaded] | None = None,
    scans: ScanSource | Sequence[ScanSource] | None = None,
    wavelength: str | float | None = None,
    *,
    subtract_background: bool = False,
    draws: int | None = None,
    top: int = 5,
    device: str = "auto",
    lines: bool | None = None,
) -> list[ScanPrediction]:
    """Predict crystal system, space group and Niggli cell of measured scans; return a result for each.

    `checkpoint` is a path or a result of `load`; several, or the folder of `trainer fit --ensemble`, are an ensemble.
    `predict("scan.xye")` uses the weights of the package. `wavelength` is in A, an energy such as `"20keV"`, an anode
    such as `"CuKa1"`, or as the file states. `draws` patterns (8) are redrawn within their uncertainties for the
    spread; it and `subtract_background` are for checkpoints of AlphaDiffract. `top` is the number of space groups.
    With weights of QMixer the lines of a scan weigh the answers and give the cells, unless `lines` is false.
    """
    if scans is None:
        checkpoint, scans = None, _as_scans(checkpoint)
    if isinstance(scans, str | Path | Scan):
        scans = [scans]
    if not scans:
        raise TrainerError("scans: expected at least one file")
    predictor = open_predictor(checkpoint, subtract_background, draws, top, device, lines=lines)
    return [
        predict_file(predictor, entry, wavelength)
        for scan in scans
        for entry in ([scan] if isinstance(scan, Scan) else scans_at(scan))
    ]


class Predictor(Protocol):
    """A network, or an ensemble, that predicts one scan at a time."""

    def answer(self, name: str, measured: Scan, wavelength_A: float) -> dict[str, Any]:
        """Return ranked answers as plain values."""
        ...


@dataclass(frozen=True)
class AlphaDiffractPredictor:
    """An ensemble of AlphaDiffract networks trained on one instrument."""

    models: Sequence[AlphaDiffract]
    dataset: dict[str, Any]
    """Identity of the dataset that they were trained on."""
    subtract_background: bool
    draws: int
    top: int
    device: torch.device

    def answer(self, name: str, measured: Scan, wavelength_A: float) -> dict[str, Any]:
        """Return ranked answers as plain values."""
        intensity, sigma = self.on_grid(name, measured, wavelength_A)
        found = scaled.predict(
            self.models, intensity, sigma, self.dataset["crystal_systems"], self.device, self.draws, self.top
        )
        return {"background_subtracted": self.subtract_background, **found}

    @property
    def grid_deg(self) -> NDArray[np.float64]:
        """Angles of the networks' patterns."""
        ends = self.dataset["two_theta_min_deg"], self.dataset["two_theta_max_deg"]
        return np.linspace(*ends, self.dataset["n_points"])

    def on_grid(
        self, name: str, measured: Scan, wavelength_A: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return intensities and uncertainties at the networks' angles."""
        intensity, sigma = scaled.to_model_grid(name, measured, wavelength_A, self.dataset)
        if self.subtract_background:
            intensity = intensity - snip(intensity, self.dataset["n_points"] // 40)
        return intensity, sigma

    def attention(self, intensity: NDArray[np.float64]) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Return the standardised pattern and the attention of each classification head to it (Grad-CAM)."""
        pattern = standardise(torch.from_numpy(intensity)[None].float()).to(self.device)
        found = {
            head: np.mean([_numpy(attention(model, pattern, head)[0]) for model in self.models], axis=0)
            for head in ("crystal_system", "space_group")
        }
        return _numpy(pattern[0]), found


@dataclass(frozen=True)
class QMixerPredictor:
    """Exported weights of QMixer."""

    weights: Weights
    top: int
    lines: bool = True
    """Whether the lines of a scan weigh the network's answers, and give the cells."""

    def answer(self, name: str, measured: Scan, wavelength_A: float) -> dict[str, Any]:
        """Return ranked answers as plain values."""
        try:
            # The network knows patterns of an unpolarised tube.
            intensity = measured.intensity * polarisation_ratio(measured, wavelength_A, CU_KALPHA1_A, 0.5)
            inputs = inputs_of_scan(measured.two_theta_deg, intensity, wavelength_A)
        except TrainerError as error:
            raise TrainerError(f"{name}: {error}") from error
        found = predict_inputs(self.weights, inputs)[0]
        if self.lines:
            found = with_lines(found, inputs[0].numpy())
        return ranked(found, scaled.space_group_symbols(), self.top)


def open_predictor(
    checkpoint: str | Path | Loaded | Sequence[str | Path | Loaded] | None = None,
    subtract_background: bool = False,
    draws: int | None = None,
    top: int = 5,
    device: str = "auto",
    *,
    calibrated: bool = True,
    lines: bool | None = None,
) -> AlphaDiffractPredictor | QMixerPredictor:
    """Load checkpoints of one kind for prediction; by default the weights of the package."""
    given = [checkpoint] if checkpoint is None or isinstance(checkpoint, str | Path | Loaded) else list(checkpoint)
    paths = [Path(entry) for entry in given if isinstance(entry, str | Path)]
    if missing := [path for path in paths if not path.exists()]:
        raise TrainerError(f"{missing[0]}: no checkpoint here")
    if not 1 <= top <= 230 or (draws is not None and draws < 0):
        raise TrainerError(f"expected top from 1 to 230 and draws of 0 or more, found {top} and {draws}")
    loaded: list[Loaded] = []
    for entry in given or [None]:
        if isinstance(entry, TrainedModel | Weights):
            loaded.append(entry)
        elif entry is None:
            loaded.append(load(None, device, calibrated=calibrated))
        else:
            loaded += [load(path, device, calibrated=calibrated) for path in with_members([Path(entry)])]
    weights = [entry for entry in loaded if isinstance(entry, Weights)]
    if weights:
        if len(loaded) > 1:
            raise TrainerError(f"expected one file of weights ({WEIGHTS_SUFFIX}) alone, found {len(loaded)} models")
        if subtract_background:
            raise TrainerError("--subtract-background: no effect on QMixer, which always subtracts it; leave it out")
        if draws:
            raise TrainerError("--draws: no effect on QMixer, whose answers have no spread; leave it out")
        return QMixerPredictor(weights[0].to(alone(device).device), top, lines is not False)
    if lines is not None:
        raise TrainerError("--lines, --no-lines: no effect on AlphaDiffract, which answers alone; leave it out")
    place = alone(device)
    trained = [entry for entry in loaded if isinstance(entry, TrainedModel)]
    models = []
    for entry in trained:
        if not isinstance(entry.model, AlphaDiffract):
            raise TrainerError(f"{entry.path}: expected a checkpoint of alphadiffract, found one of {entry.kind}")
        models.append(entry.model.to(place.device))
    identity = trained[0].checkpoint.dataset
    for entry in trained:
        if differ := [name for name in GRIDS if entry.checkpoint.dataset.get(name) != identity.get(name)]:
            raise TrainerError(
                f"{entry.path}: expected an ensemble trained on one instrument and range, found another "
                f"{', '.join(differ)} than in {trained[0].path}"
            )
    return AlphaDiffractPredictor(
        models, identity, subtract_background, DRAWS if draws is None else draws, top, place.device
    )


def predict_file(predictor: Predictor, scan: ScanFile | Scan, wavelength: str | float | None = None) -> ScanPrediction:
    """Read a scan and predict it."""
    name, measured = ("scan", scan) if isinstance(scan, Scan) else (scan.name, scan.read())
    text = None if wavelength is None else str(wavelength)
    used = scaled.wavelength_of(Path(name), measured, text)
    return ScanPrediction.of_answer(name, used, predictor.answer(name, measured, used))


def _as_scans(value: Any) -> Any:
    """Return the only argument of `predict(scans)`, which must be scans."""
    entries = value if isinstance(value, list | tuple) else [value]
    if value is None or any(
        isinstance(entry, TrainedModel | Weights)
        or Path(str(entry)).suffix in (".pt", WEIGHTS_SUFFIX)
        or is_ensemble(Path(str(entry)))
        for entry in entries
    ):
        raise TrainerError("scans: expected at least one file, as in trainer.predict(checkpoint, scans)")
    return value


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.double().cpu().numpy(), dtype=np.float64)
