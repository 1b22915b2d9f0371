"""What do the two models do with a batch? Inputs, loss and validation; the training loop is the same for both."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.data.sources import DensityBatch, PatternBatch, StickBatch
from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffract, Prediction
from trainer.models.crystalnet import CrystalNet
from trainer.simulate.broaden import broaden
from trainer.simulate.noise import ablate_composition, add_noise, perturb, perturb_sticks, standardise
from trainer.simulate.parameters import Instrument, draw_parameters
from trainer.simulate.points import density_at, grid_positions, stratified_points
from trainer.training.config import AlphaDiffractTraining, CrystalNetTraining
from trainer.training.gemd import hop_matrix
from trainer.training.lattices import LatticeStatistics
from trainer.training.losses import AlphaDiffractLoss, CrystalNetLoss, alphadiffract_loss, crystalnet_loss
from trainer.training.similarity import psnr, rotations, ssim
from trainer.training.strain import Strain

DECODE_POINTS = 1 << 17
"""Points of a density that go through the network at a time in evaluation."""


@dataclass(frozen=True)
class Inputs:
    """How raw batches become what AlphaDiffract sees: broadened where they are sticks, noisy if asked, 0..100."""

    instrument: Instrument | None
    ranges: dict[str, tuple[float, float]]
    noise: bool = True

    def __call__(self, batch: PatternBatch | StickBatch, generator: torch.Generator | None) -> Tensor:
        """Standardised patterns (batch, two_theta)."""
        if isinstance(batch, StickBatch):
            assert self.instrument is not None
            device = batch.sticks.two_theta_deg.device
            parameters = draw_parameters(self.ranges, len(batch), device, generator)
            pattern = broaden(batch.sticks, parameters, self.instrument)
            pattern = pattern / pattern.amax(dim=1, keepdim=True)
        else:
            pattern = batch.pattern.float()
        if self.noise:
            pattern = add_noise(pattern, generator)
        return standardise(pattern)


@dataclass(frozen=True)
class AlphaDiffractTask:
    """Crystal system, space group and lattice from patterns."""

    config: AlphaDiffractTraining
    inputs: Inputs
    device: torch.device
    hops: Tensor
    strain: Strain | None = None
    lattices: LatticeStatistics | None = None

    @classmethod
    def create(
        cls,
        config: AlphaDiffractTraining,
        inputs: Inputs,
        device: torch.device,
        strain: Strain | None = None,
        lattices: LatticeStatistics | None = None,
    ) -> AlphaDiffractTask:
        """With the distances between space groups on the device."""
        hops = torch.tensor(hop_matrix(), dtype=torch.float32, device=device)
        return cls(config, inputs, device, hops, strain, lattices)

    def build(self) -> nn.Module:
        """A new network."""
        model = AlphaDiffract(self.config.model).to(self.device)
        if self.config.model.lattice_start == "training":
            assert self.lattices is not None
            try:
                model.start_lattice_at(self.lattices.mean, self.lattices.deviation)
            except ValueError as error:
                raise TrainerError(str(error)) from error
        return model

    def loss(
        self, model: nn.Module, batch: PatternBatch | StickBatch, generator: torch.Generator | None
    ) -> AlphaDiffractLoss:
        """Loss and its terms of a batch."""
        if self.strain is not None:
            batch = self.strain(batch, generator)
        pattern = self.inputs(batch, generator)
        with autocast(self.config.precision, self.device):
            prediction = model(pattern)
        return self._loss_of(prediction, batch)

    def _loss_of(self, prediction: Prediction, batch: PatternBatch | StickBatch) -> AlphaDiffractLoss:
        labels = batch.crystal_system, batch.space_group, batch.lattice
        c = self.config
        weights = c.gemd_weight, c.length_weight, c.angle_weight
        deviation = None
        if c.lattice_loss == "standardised-mae":
            assert self.lattices is not None
            deviation = self.lattices.deviation
        return alphadiffract_loss(prediction, *labels, self.hops, *weights, deviation=deviation)

    @torch.no_grad()
    def validate(
        self, model: nn.Module, batches: Iterable[PatternBatch | StickBatch], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Sums over patterns of what `summarise` divides by their number."""
        names = ("count", "loss", "crystal_system", "space_group", "gemd", "length_error", "angle_error", "deviations")
        sums = {name: torch.zeros((), dtype=torch.float64, device=self.device) for name in names}
        for batch in batches:
            here = batch.to(self.device)
            pattern = self.inputs(here, generator)
            with autocast(self.config.precision, self.device):
                prediction = model(pattern)
            loss = self._loss_of(prediction, here)
            error = (prediction.lattice - here.lattice).abs()
            n = len(here)
            sums["count"] += n
            sums["loss"] += n * loss.total
            sums["gemd"] += n * loss.gemd
            sums["crystal_system"] += (prediction.crystal_system.argmax(dim=1) == here.crystal_system).sum()
            sums["space_group"] += (prediction.space_group.argmax(dim=1) == here.space_group).sum()
            sums["length_error"] += error[:, :3].mean(dim=1).sum()
            sums["angle_error"] += error[:, 3:].mean(dim=1).sum()
            if self.lattices is not None:
                sums["deviations"] += (error / self.lattices.deviation).mean(dim=1).sum()
        return sums

    def summarise(self, sums: dict[str, float]) -> tuple[dict[str, float], float]:
        """Means by name, and the score by which the best weights are kept: the sum of both accuracies.

        Where everything counts, less the mean lattice error in standard deviations of the training side.
        """
        n = sums["count"]
        means = {
            "validation_loss": sums["loss"] / n,
            "validation_gemd": sums["gemd"] / n,
            "validation_crystal_system_accuracy": sums["crystal_system"] / n,
            "validation_space_group_accuracy": sums["space_group"] / n,
            "validation_length_mae_A": sums["length_error"] / n,
            "validation_angle_mae_deg": sums["angle_error"] / n,
        }
        score = (sums["crystal_system"] + sums["space_group"]) / n
        return means, score - sums["deviations"] / n if self.config.best_by == "all" else score


@dataclass(frozen=True)
class CrystalNetTask:
    """Electron density from stick vector and composition."""

    config: CrystalNetTraining
    device: torch.device

    def build(self) -> nn.Module:
        """A new network."""
        return CrystalNet(self.config.model).to(self.device)

    def loss(self, model: nn.Module, batch: DensityBatch, generator: torch.Generator | None) -> CrystalNetLoss:
        """Loss and its terms at freshly drawn points."""
        peaks = batch.xrd_peaks
        composition = ablate_composition(batch.composition, self.config.model.composition, generator)
        if self.config.noise:
            peaks, composition = perturb_sticks(peaks, generator), perturb(composition, generator)
        drawn = stratified_points(len(batch), self.config.divisions, self.device, generator)
        truth, position = density_at(batch.density, drawn)
        with autocast(self.config.precision, self.device):
            density, encoding = model(peaks, composition, position, generator)
        return crystalnet_loss(density, truth, encoding, self.config.kl_weight)

    @torch.no_grad()
    def validate(
        self, model: nn.Module, batches: Iterable[DensityBatch], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Sums over crystals: single-sample scores, and the best over guesses and rotations."""
        names = ("count", "ssim", "psnr", "best_ssim", "best_psnr")
        sums = {name: torch.zeros((), dtype=torch.float64, device=self.device) for name in names}
        step = 50 // self.config.validation_points
        for batch in batches:
            here = batch.to(self.device)
            truth = here.density[:, ::step, ::step, ::step]
            guesses = guess_densities(
                model, here, self.config, self.config.validation_guesses, truth.shape[1], generator
            )
            first, best = score_guesses(truth, guesses)
            sums["count"] += len(here)
            for name, value in (
                ("ssim", first[0]),
                ("psnr", first[1]),
                ("best_ssim", best[0]),
                ("best_psnr", best[1]),
            ):
                sums[name] += value.sum()
        return sums

    @staticmethod
    def summarise(sums: dict[str, float]) -> tuple[dict[str, float], float]:
        """Means by name, and the score by which the best weights are kept: the paper's, best SSIM of all guesses."""
        means = {f"validation_{name}": sums[name] / sums["count"] for name in sums if name != "count"}
        return means, means["validation_best_ssim"]


Task = AlphaDiffractTask | CrystalNetTask


@torch.no_grad()
def guess_densities(
    model: nn.Module,
    batch: DensityBatch,
    config: CrystalNetTraining,
    guesses: int,
    points: int,
    generator: torch.Generator | None,
) -> list[Tensor]:
    """Densities (crystal, points, points, points), one for each draw of the embedding."""
    assert isinstance(model, CrystalNet)
    device = batch.density.device
    composition = ablate_composition(batch.composition, config.model.composition, generator)
    position = grid_positions(points, device)
    crystals = len(batch)
    size = max(1, DECODE_POINTS // crystals)
    found = []
    with autocast(config.precision, device):
        encoding = model.encode(batch.xrd_peaks, composition)
        for _ in range(guesses):
            embedding = model.sample(encoding, generator)
            parts = [model.decode(embedding, part.expand(crystals, -1, 3)) for part in torch.split(position, size)]
            found.append(torch.cat(parts, dim=1).view(crystals, points, points, points))
    return found


def score_guesses(truth: Tensor, guesses: list[Tensor]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """SSIM and PSNR of the first guess as it is, and the best of each over all guesses and rotations."""
    first = ssim(truth, guesses[0]), psnr(truth, guesses[0])
    best = first
    for guess in guesses:
        for turned in rotations(guess):
            best = torch.maximum(best[0], ssim(truth, turned)), torch.maximum(best[1], psnr(truth, turned))
    return first, best


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision: bfloat16 where asked for, and by default on a GPU that has it."""
    half = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)
