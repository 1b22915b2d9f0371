"""Inputs, loss and validation of AlphaDiffract and CrystalNet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from trainer.data.sources import DensityBatch, PatternBatch, StickBatch
from trainer.errors import TrainerError
from trainer.models.alphadiffract import AlphaDiffract, Prediction
from trainer.models.crystalnet import CrystalNet
from trainer.simulate.background import without_background
from trainer.simulate.broaden import broaden
from trainer.simulate.noise import ablate_composition, add_noise, perturb, perturb_sticks, standardise
from trainer.simulate.parameters import Augmentation, Instrument, draw_parameters
from trainer.simulate.points import density_at, grid_positions, stratified_points
from trainer.simulate.second_phases import Phases
from trainer.simulate.strained import strained_cells
from trainer.training.class_prior import LogitAdjustments
from trainer.training.config import AlphaDiffractTraining, CrystalNetTraining
from trainer.training.gemd import hop_matrix
from trainer.training.lattices import LatticeStatistics
from trainer.training.losses import AlphaDiffractLoss, CrystalNetLoss, alphadiffract_loss, crystalnet_loss
from trainer.training.networks import build_network
from trainer.training.precision import autocast
from trainer.training.similarity import rotated_scores
from trainer.training.strain import Strain

DECODE_POINTS = 1 << 17
"""Points of a density per forward pass in evaluation."""


@dataclass(frozen=True)
class Inputs:
    """Conversion of batches to inputs of AlphaDiffract: reflections broadened, with noise, from 0 to 100.

    Second phases are crystals of the batch. Noise is added to what an instrument counts, before a background is
    subtracted.
    """

    instrument: Instrument | None
    augmentation: Augmentation
    noise: bool = True
    compiled: bool = False
    """Broaden by a compiled kernel."""

    def __call__(self, batch: PatternBatch | StickBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return patterns (batch, two_theta) from 0 to 100 and the cell of each (batch, 6)."""
        if not isinstance(batch, StickBatch):
            pattern = batch.pattern.float()
            return standardise(add_noise(pattern, generator) if self.noise else pattern), batch.lattice
        assert self.instrument is not None
        device = batch.sticks.two_theta_deg.device
        phases = Phases.of_batch(batch.sticks, batch.density)
        n_phases = 0 if phases is None else len(batch)
        parameters = draw_parameters(self.augmentation, len(batch), device, generator, n_phases)
        pattern = broaden(batch.sticks, parameters, self.instrument, phases, subtract=False, compiled=self.compiled)
        pattern = pattern / pattern.amax(dim=1, keepdim=True)
        if self.noise:
            pattern = add_noise(pattern, generator)
        pattern = without_background(pattern, parameters.background_window)
        return standardise(pattern), strained_cells(batch.sticks, parameters, batch.lattice)


@dataclass(frozen=True)
class AlphaDiffractTask:
    """Crystal system, space group and lattice from patterns."""

    config: AlphaDiffractTraining
    inputs: Inputs
    device: torch.device
    hops: Tensor
    strain: Strain | None = None
    lattices: LatticeStatistics | None = None
    adjustments: LogitAdjustments | None = None

    @classmethod
    def create(
        cls,
        config: AlphaDiffractTraining,
        inputs: Inputs,
        device: torch.device,
        strain: Strain | None = None,
        lattices: LatticeStatistics | None = None,
        adjustments: LogitAdjustments | None = None,
    ) -> AlphaDiffractTask:
        """Create a task with the distances between space groups on the device."""
        hops = torch.tensor(hop_matrix(), dtype=torch.float32, device=device)
        return cls(config, inputs, device, hops, strain, lattices, adjustments)

    def build(self) -> nn.Module:
        """Build the network with fresh weights."""
        model = build_network(self.config).to(self.device)
        assert isinstance(model, AlphaDiffract)
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
        """Return the loss of a batch and its terms."""
        if self.strain is not None:
            batch = self.strain(batch, generator)
        pattern, cells = self.inputs(batch, generator)
        batch = replace(batch, lattice=cells)
        with autocast(self.config.precision, self.device):
            prediction = model(pattern)
        return self._loss_of(prediction, batch, self.adjustments, self.config.label_smoothing)

    def _loss_of(
        self,
        prediction: Prediction,
        batch: PatternBatch | StickBatch,
        adjustments: LogitAdjustments | None = None,
        label_smoothing: float = 0.0,
    ) -> AlphaDiffractLoss:
        labels = batch.crystal_system, batch.space_group, batch.lattice
        c = self.config
        weights = c.gemd_weight, c.length_weight, c.angle_weight
        deviation = None
        if c.lattice_loss == "standardised-mae":
            assert self.lattices is not None
            deviation = self.lattices.deviation
        return alphadiffract_loss(prediction, *labels, self.hops, *weights, deviation, adjustments, label_smoothing)

    @torch.no_grad()
    def validate(
        self, model: nn.Module, batches: Iterable[PatternBatch | StickBatch], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return sums over patterns for `summarise`."""
        names = ("count", "loss", "crystal_system", "space_group", "gemd", "length_error", "angle_error", "deviations")
        sums = {name: torch.zeros((), dtype=torch.float64, device=self.device) for name in names}
        for batch in batches:
            here = batch.to(self.device)
            pattern, cells = self.inputs(here, generator)
            here = replace(here, lattice=cells)
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
        """Return means by name, and the score of `best.pt`: the sum of both accuracies.

        With `best_by="all"`, minus the mean lattice error in standard deviations of the training split.
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
        """Build the network with fresh weights."""
        return build_network(self.config).to(self.device)

    def loss(self, model: nn.Module, batch: DensityBatch, generator: torch.Generator | None) -> CrystalNetLoss:
        """Return the loss of a batch and its terms, at randomly drawn points."""
        peaks = batch.xrd_peaks
        composition = ablate_composition(batch.composition, self.config.model.composition, generator)
        if self.config.noise:
            peaks, composition = perturb_sticks(peaks, generator), perturb(composition, generator)
        drawn = stratified_points(len(batch), self.config.divisions, self.device, generator)
        truth, position = density_at(batch.densities.table, drawn, batch.densities.place)
        with autocast(self.config.precision, self.device):
            density, encoding = model(peaks, composition, position, generator)
        return crystalnet_loss(density, truth, encoding, self.config.kl_weight)

    @torch.no_grad()
    def validate(
        self, model: nn.Module, batches: Iterable[DensityBatch], generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return sums over crystals: scores of a single sample, and the best over samples and rotations."""
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
        """Return means by name, and the score of `best.pt`: the best SSIM of all samples, as in the paper."""
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
    """Return densities (crystal, points, points, points), one for each draw of the embedding."""
    assert isinstance(model, CrystalNet)
    device = batch.xrd_peaks.device
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
    """Return SSIM and PSNR of the first sample, and the best of each over all samples and rotations."""
    scores = [rotated_scores(truth, guess) for guess in guesses]
    best = (torch.cat([pair[k] for pair in scores]).amax(dim=0) for k in (0, 1))
    return (scores[0][0][0], scores[0][1][0]), (next(best), next(best))
