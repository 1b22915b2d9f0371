"""Predictions of QMixer for measured scans at any wavelength and range, with the weights that come with the package."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.errors import TrainerError
from trainer.models.qmixer import SYSTEM_ENDS, QMixer, QMixerConfig
from trainer.simulate.axis import FEWEST_BINS, LN_Q_STEP, N_BINS
from trainer.simulate.log_q import network_input, scan_on_grid, shifted
from trainer.training.bravais import BRAVAIS, bravais_of_groups, from_numbers

FORMAT, FORMAT_VERSION = "pxrd-trainer-qmixer-weights", 1
WEIGHTS = "qmixer.safetensors"
"""File of the weights that come with the package."""
CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
VIEWS = (-24, -16, -8, 0, 8, 16, 24)
"""Shifts in bins of ln q over which a prediction is averaged: the crystal at 0.94 to 1.07 times its size."""
PARTS = {"lattice_mean": (14, 6), "lattice_deviation": (14, 6), "log_prior": (230,)}
"""Tensors beside the network's weights."""
LARGEST_SIZE = 100_000
"""Of a layer."""


@dataclass(frozen=True)
class Weights:
    """A trained network with what its outputs mean."""

    model: QMixer
    lattice_mean: Tensor
    lattice_deviation: Tensor
    log_prior: Tensor
    facts: dict[str, Any]
    """Where the weights come from: data, licences, minutes, patterns."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.log_prior.device

    def to(self, device: torch.device) -> Weights:
        """Return the weights on a device."""
        if device == self.device:
            return self
        parts = {name: getattr(self, name).to(device) for name in PARTS}
        return replace(self, model=copy.deepcopy(self.model).to(device), **parts)

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        return f"Weights(QMixer, {millions:.1f} million parameters, {self.facts.get('patterns', 0):,} patterns seen)"


@dataclass(frozen=True)
class QMixerPrediction:
    """Probabilities and lattices of one scan."""

    space_group: NDArray[np.float64]
    """Probability of groups 1 to 230 (at 0 to 229)."""
    lattices: NDArray[np.float64]
    """Niggli cell (14, 6) for each Bravais lattice, A and degrees."""
    covered: float
    """Share of the axis ln q that the scan covers."""
    line_odds: NDArray[np.float64] | None = None
    """Log odds that the scan's peaks are lines of each Bravais lattice's cell, -inf where none was searched; None for a
    network's prediction alone."""

    @property
    def crystal_system(self) -> NDArray[np.float64]:
        """Probability of the seven crystal systems."""
        return np.add.reduceat(self.space_group, (0, *SYSTEM_ENDS[:-1]))

    @property
    def bravais(self) -> NDArray[np.float64]:
        """Probability of the 14 Bravais lattices."""
        found = np.bincount(bravais_of_groups(), self.space_group, minlength=len(BRAVAIS))
        return np.asarray(found, dtype=np.float64)

    @property
    def niggli(self) -> NDArray[np.float64]:
        """Niggli cell of the most probable Bravais lattice, A and degrees."""
        found: NDArray[np.float64] = self.lattices[int(self.bravais.argmax())]
        return found

    def __repr__(self) -> str:
        system, group = int(self.crystal_system.argmax()), int(self.space_group.argmax())
        return (
            f"QMixerPrediction({CRYSTAL_SYSTEMS[system]} {self.crystal_system[system]:.0%}, "
            f"space group {group + 1} {self.space_group[group]:.0%})"
        )


def load_weights(path: Path | None = None) -> Weights:
    """Load exported weights, by default those that come with the package."""
    from safetensors import SafetensorError, safe_open

    name = str(path or files("trainer.models").joinpath(WEIGHTS))
    try:
        with safe_open(name, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("pxrd", "{}"))
            tensors = {key: opened.get_tensor(key).float() for key in opened.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        if path is None:
            raise TrainerError(
                f"no pretrained weights in this installation, expected {name}; name a checkpoint (.pt) or weights "
                "(.safetensors)"
            ) from None
        raise TrainerError(f"{name}: no weights here") from None
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise TrainerError(f"{name}: expected weights in safetensors, found something else ({error})") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("model"), dict):
        raise TrainerError(f"{name}: expected facts about a network in its metadata, found others")
    if facts.get("format") != FORMAT or facts.get("format_version") != FORMAT_VERSION:
        raise TrainerError(
            f"{name}: expected weights of {FORMAT} {FORMAT_VERSION}, found {facts.get('format')!r} "
            f"{facts.get('format_version')}"
        )
    model = _network(name, facts["model"], tensors)
    try:
        model.load_state_dict({key: value for key, value in tensors.items() if key not in PARTS})
        parts = {key: tensors[key].reshape(shape) for key, shape in PARTS.items()}
    except (RuntimeError, KeyError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise TrainerError(f"{name}: its weights are not those of its configuration ({reason:.200})") from error
    return Weights(model.eval(), **parts, facts=facts)


def _network(name: str, sizes: dict[str, Any], tensors: dict[str, Tensor]) -> QMixer:
    """Build the network, if it has as many parameters as there are weights."""
    counts = {field.name: sizes.get(field.name) for field in fields(QMixerConfig) if field.name != "dropout"}
    if set(sizes) != {*counts, "dropout"} or not all(
        isinstance(value, int) and 1 <= value <= LARGEST_SIZE for value in counts.values()
    ):
        raise TrainerError(f"{name}: expected the sizes {', '.join(counts)} of 1 to {LARGEST_SIZE}, found others")
    if counts["bins"] != N_BINS:
        raise TrainerError(f"{name}: expected a network for {N_BINS} bins, found one for {counts['bins']}")
    try:
        config = QMixerConfig(**sizes)
        with torch.device("meta"):
            parameters = sum(p.numel() for p in QMixer(config).parameters())
    except (ValueError, RuntimeError, TypeError) as error:
        raise TrainerError(f"{name}: no network can be built with its sizes ({error})") from error
    if parameters != sum(value.numel() for key, value in tensors.items() if key not in PARTS):
        raise TrainerError(f"{name}: its weights are not those of its configuration")
    return QMixer(config)


def export_weights(checkpoint: Path, out: Path, facts: dict[str, Any]) -> None:
    """Write the averaged weights of a training run in half precision, with facts about them."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    described = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": content["config"]["model"],
        "patterns": content["step"] * content["config"]["batch"],
        "minutes": round(content["seconds"] / 60, 1),
        "training": {name: value for name, value in content["config"].items() if name != "model"},
        **facts,
    }
    _write(out, content["average"], {name: content[name] for name in PARTS}, described)


def save_weights(weights: Weights, out: Path) -> None:
    """Write weights with their facts."""
    _write(out, weights.model.state_dict(), {name: getattr(weights, name) for name in PARTS}, weights.facts)


def _write(out: Path, state: Mapping[str, Tensor], parts: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    tensors = {name: value.half().cpu().contiguous() for name, value in state.items()}
    # Some priors are beyond the range of half precision.
    tensors |= {name: value.float().cpu().contiguous() for name, value in parts.items()}
    save_file(tensors, out, metadata={"pxrd": json.dumps(facts, sort_keys=True)})


def predict_scan(
    weights: Weights, two_theta_deg: NDArray[np.float64], intensity: NDArray[np.float64], wavelength_A: float
) -> QMixerPrediction:
    """Predict space group and lattice of a scan by the network alone."""
    return predict_inputs(weights, inputs_of_scan(two_theta_deg, intensity, wavelength_A))[0]


def inputs_of_scan(two_theta_deg: NDArray[np.float64], intensity: NDArray[np.float64], wavelength_A: float) -> Tensor:
    """Return what the network sees of a scan (1, 2, bin)."""
    found = scan_on_grid(two_theta_deg, intensity, wavelength_A)
    inputs = None if found is None else network_input(found[0][None], found[1][None])
    if inputs is None or float(inputs[0, 1].sum()) < FEWEST_BINS:
        raise TrainerError(
            f"the scan from {min(two_theta_deg):g} to {max(two_theta_deg):g} degrees at {wavelength_A:g} A covers too "
            "little of 5 to 90 degrees of Cu K-alpha; give the right --wavelength or a wider scan"
        )
    return inputs


def predict_bins(weights: Weights, inputs: NDArray[np.float32]) -> list[QMixerPrediction]:
    """Predict from square roots of background-free intensities in the bins of ln q, and masks: (scan, 2, bin)."""
    return predict_inputs(weights, torch.from_numpy(inputs))


@torch.no_grad()
def likeness_of_bins(weights: Weights, roots: NDArray[np.float64], measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how alike the network sees the first pattern and each other: the correlation of its hidden layers.

    Patterns are square roots of background-free intensities in the bins of ln q (pattern, bin), masks likewise.
    """
    inputs = torch.from_numpy(np.stack([roots, measured], axis=1)).float()
    hidden = weights.model.embedding(inputs.to(weights.device)).double().cpu().numpy()
    hidden = hidden - hidden.mean(axis=1, keepdims=True)
    hidden /= np.linalg.norm(hidden, axis=1, keepdims=True).clip(min=1e-12)
    return np.asarray(hidden[1:] @ hidden[0], dtype=np.float64)


@torch.no_grad()
def logits_of_views(weights: Weights, inputs: Tensor) -> Tensor:
    """Return the logits of space groups in every shifted view (view, pattern, 230), those of natural frequencies."""
    inputs = inputs.to(weights.device)
    found = [weights.model(shifted(inputs, bins)).space_group - weights.log_prior for bins in VIEWS]
    return torch.stack(found).double().cpu()


def answers_of_view(weights: Weights, inputs: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities of space groups (view, 230) and numbers of lattices (view, 14, 6) of shifted inputs.

    The numbers are those of `bravais.to_numbers`, for the crystal before the shift by `bins` (view).
    """
    output = weights.model(inputs)
    probability = torch.softmax(output.space_group - weights.log_prior, dim=1)
    lattice = output.lattice * weights.lattice_deviation + weights.lattice_mean
    # A pattern shifted to larger q is that of a smaller crystal.
    step = LN_Q_STEP * bins[:, None, None] * lattice.new_tensor([1.0] * 3 + [0.0] * 3)
    return probability, lattice + step


@torch.no_grad()
def predict_inputs(weights: Weights, inputs: Tensor) -> list[QMixerPrediction]:
    """Predict from inputs of `network_input`, averaged over shifted views."""
    device = weights.device
    on_device = inputs.to(device)
    probability = torch.zeros(len(inputs), 230, device=device)
    numbers = torch.zeros(len(inputs), len(BRAVAIS), 6, device=device)
    for bins in VIEWS:
        shift = torch.full((len(inputs),), bins, device=device)
        found = answers_of_view(weights, shifted(on_device, bins), shift)
        probability += found[0] / len(VIEWS)
        numbers += found[1] / len(VIEWS)
    lattices = from_numbers(numbers.cpu().numpy())
    return [
        QMixerPrediction(p, cells, float(one[1].mean()))
        for p, cells, one in zip(probability.double().cpu().numpy(), lattices, inputs, strict=True)
    ]


def ranked(prediction: QMixerPrediction, symbols: Sequence[str], top: int) -> dict[str, Any]:
    """Return the ranked answers of a prediction as plain values."""
    systems, groups, bravais = prediction.crystal_system, prediction.space_group, prediction.bravais
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    return {
        "crystal_system": [
            {"name": CRYSTAL_SYSTEMS[i], "probability": float(systems[i]), "spread": None}
            for i in np.argsort(-systems).tolist()
        ],
        "space_group": [
            {"number": i + 1, "symbol": symbols[i], "probability": float(groups[i]), "spread": None}
            for i in np.argsort(-groups)[:top].tolist()
        ],
        "niggli_lattice": {
            name: {"value": float(value), "spread": None} for name, value in zip(names, prediction.niggli, strict=True)
        },
        "bravais_lattice": [
            {
                "name": BRAVAIS[i],
                "probability": float(bravais[i]),
                "niggli": prediction.lattices[i].tolist(),
                "line_odds": _number(prediction.line_odds, i),
            }
            for i in np.argsort(-bravais)[:3].tolist()
        ],
        "covered": prediction.covered,
    }


def _number(values: NDArray[np.float64] | None, i: int) -> float | None:
    """Return a value that there is, and is finite."""
    return None if values is None or not np.isfinite(values[i]) else float(values[i])
