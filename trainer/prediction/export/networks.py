"""Networks with their pre- and postprocessing as plain functions of tensors, which ONNX can hold.

Inputs are physical quantities on a stated grid, outputs are probabilities, Niggli cells and densities: a program that
runs the file needs no code of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.alphadiffract import AlphaDiffract
from trainer.models.crystalnet import ELEMENTS, XRD_BINS, CrystalNet
from trainer.models.qmixer import SYSTEM_ENDS
from trainer.prediction.qmixer import VIEWS, Weights, answers_of_view
from trainer.simulate.log_q import N_ANGLES, network_input, shifted
from trainer.simulate.noise import standardise
from trainer.training.bravais import DEGREES


@dataclass(frozen=True)
class Variable:
    """An input or output of an exported network."""

    dimensions: tuple[str | int, ...]
    """Names of those whose length is free, lengths of the others."""
    meaning: str


@dataclass(frozen=True)
class ExportedNetwork:
    """A network ready to be written, with the description of its inputs and outputs."""

    module: nn.Module
    inputs: dict[str, Variable]
    outputs: dict[str, Variable]
    facts: dict[str, Any]

    def example(self, lengths: dict[str, int], seed: int = 0) -> dict[str, Tensor]:
        """Return inputs at random, with these lengths of the free dimensions."""
        generator = torch.Generator().manual_seed(seed)
        made = {}
        for name, variable in self.inputs.items():
            shape = [lengths[size] if isinstance(size, str) else size for size in variable.dimensions]
            made[name] = torch.rand(shape, generator=generator)
        return {name: value > 0.1 if name == "measured" else value for name, value in made.items()}


class AlphaDiffractFunction(nn.Module):
    """From intensities to probabilities of crystal systems and space groups, and the Niggli cell."""

    def __init__(self, model: AlphaDiffract) -> None:
        super().__init__()
        self.model = model

    def forward(self, intensity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict from patterns (batch, point) of any scale."""
        found = self.model(standardise(intensity))
        return found.crystal_system.softmax(dim=1), found.space_group.softmax(dim=1), found.lattice


class CrystalNetFunction(nn.Module):
    """From pattern, composition and standard normal numbers to densities at positions."""

    def __init__(self, model: CrystalNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, xrd_peaks: Tensor, composition: Tensor, noise: Tensor, position: Tensor) -> Tensor:
        """Return densities (crystal, point)."""
        if self.model.config.composition in ("elements", "drop-one"):
            composition = (composition > 0).to(composition.dtype)
        encoding = self.model.encode(xrd_peaks, composition)
        return self.model.decode(self.model.embed(encoding, noise), position)


class CrystalNetOfPatterns(CrystalNetFunction):
    """CrystalNet without composition."""

    def forward(self, xrd_peaks: Tensor, noise: Tensor, position: Tensor) -> Tensor:  # type: ignore[override]
        """Return densities (crystal, point)."""
        encoding = self.model.encode(xrd_peaks, xrd_peaks.new_zeros(xrd_peaks.shape[0], ELEMENTS))
        return self.model.decode(self.model.embed(encoding, noise), position)


class QMixerFunction(nn.Module):
    """From intensities on the grid of angles to probabilities and Niggli cells, averaged over shifted views."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.model = weights.model
        self.weights = weights

    def forward(self, intensity: Tensor, measured: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict from intensities and a mask of measured points, (batch, angle) both."""
        inputs = network_input(intensity, measured)
        views = torch.cat([shifted(inputs, bins) for bins in VIEWS])
        bins = torch.tensor(VIEWS, device=inputs.device)[:, None].expand(-1, inputs.shape[0]).flatten()
        found = answers_of_view(self.weights, views, bins)
        probability, numbers = (part.reshape(len(VIEWS), -1, *part.shape[1:]).mean(dim=0) for part in found)
        ends = zip((0, *SYSTEM_ENDS[:-1]), SYSTEM_ENDS, strict=True)
        systems = torch.stack([probability[:, first:last].sum(dim=1) for first, last in ends], dim=1)
        cells = torch.cat([numbers[..., :3].exp(), 90.0 + DEGREES * numbers[..., 3:]], dim=-1)
        return systems, probability, cells


SYSTEM = Variable(("batch", 7), "probability of each crystal system")
GROUP = Variable(("batch", 230), "probability of space groups 1 to 230")


def alphadiffract_network(model: AlphaDiffract, facts: dict[str, Any]) -> ExportedNetwork:
    """Return AlphaDiffract with its scaling to 0..100 and softmax."""
    points = model.config.input_points
    return ExportedNetwork(
        AlphaDiffractFunction(model),
        {"intensity": Variable(("batch", points), "intensity at the angles of the grid, any scale, no background")},
        {
            "crystal_system": SYSTEM,
            "space_group": GROUP,
            "niggli": Variable(("batch", 6), "Niggli cell: a, b, c in angstrom; alpha, beta, gamma in degrees"),
        },
        facts,
    )


def crystalnet_network(model: CrystalNet, facts: dict[str, Any]) -> ExportedNetwork:
    """Return CrystalNet with the draw of its embedding as an input."""
    kinds = {
        "ratios": "atomic fraction of each element, at its atomic number less 1",
        "elements": "above 0 for each element present, at its atomic number less 1",
        "drop-one": "above 0 for each element known to be present, at its atomic number less 1",
    }
    kind = model.config.composition
    inputs = {
        "xrd_peaks": Variable(
            ("batch", XRD_BINS), "highest peak in each bin of 2theta from 0 to 180 degrees, the highest of all is 1"
        ),
        "composition": Variable(("batch", ELEMENTS), kinds.get(kind, "")),
        "noise": Variable(
            ("batch", 2 * model.config.width), "standard normal numbers, other ones for each guess; 0 for the mean"
        ),
        "position": Variable(("batch", "point", 3), "fractional coordinates in the cell, from 0 to 1"),
    }
    if kind == "none":
        del inputs["composition"]
    return ExportedNetwork(
        CrystalNetOfPatterns(model) if kind == "none" else CrystalNetFunction(model),
        inputs,
        {"density": Variable(("batch", "point"), "electron density, electrons per cubic angstrom")},
        facts,
    )


def qmixer_network(weights: Weights, facts: dict[str, Any]) -> ExportedNetwork:
    """Return QMixer with background removal, the axis ln q and the average over views."""
    return ExportedNetwork(
        QMixerFunction(weights),
        {
            "intensity": Variable(("batch", N_ANGLES), "intensity at the angles of the grid, any scale"),
            "measured": Variable(("batch", N_ANGLES), "true where the scan was measured"),
        },
        {
            "crystal_system": SYSTEM,
            "space_group": GROUP,
            "niggli": Variable(
                ("batch", 14, 6),
                "Niggli cell for each Bravais lattice: a, b, c in angstrom; alpha, beta, gamma in degrees",
            ),
        },
        facts,
    )
