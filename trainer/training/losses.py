"""Losses of AlphaDiffract and CrystalNet, term by term."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from trainer.models.alphadiffract import Prediction
from trainer.models.crystalnet import Encoding, Latent
from trainer.training.class_prior import LogitAdjustments

SIGMA_SQUARED_FLOOR = 1e-4  # added inside the logarithm, as in CrystalNet's published code


class AlphaDiffractLoss(NamedTuple):
    """Total and terms of AlphaDiffract's loss (eq. 6), each a mean over the batch."""

    total: Tensor
    crystal_system: Tensor
    space_group: Tensor
    gemd: Tensor
    lattice: Tensor


class CrystalNetLoss(NamedTuple):
    """Total and terms of CrystalNet's loss (eq. 7)."""

    total: Tensor
    density: Tensor
    kl_pattern: Tensor
    kl_formula: Tensor


def alphadiffract_loss(
    prediction: Prediction,
    crystal_system: Tensor,
    space_group: Tensor,
    lattice: Tensor,
    hops: Tensor,
    gemd_weight: float = 1.0,
    length_weight: float = 1.0,
    angle_weight: float = 1.0,
    deviation: Tensor | None = None,
    adjustments: LogitAdjustments | None = None,
    label_smoothing: float = 0.0,
) -> AlphaDiffractLoss:
    """Return CE + CE + mu GEMD + MSE; labels are class indices from 0, the lattice in A and degrees.

    The paper has weights of 1. Squared angles are in the hundreds and dominate on small datasets, which need other
    weights or `deviation` (6): absolute lattice errors in units of it instead of squared errors. Logits are adjusted in
    both cross entropies, whose labels are smoothed; the graph distance is that of the network's own probabilities.
    """
    system, group = prediction.crystal_system, prediction.space_group
    if adjustments is not None:
        system, group = system + adjustments.crystal_system, group + adjustments.space_group
    of_system = functional.cross_entropy(system, crystal_system, label_smoothing=label_smoothing)
    of_group = functional.cross_entropy(group, space_group, label_smoothing=label_smoothing)
    of_graph = gemd(prediction.space_group, space_group, hops)
    error = prediction.lattice - lattice
    errors = error**2 if deviation is None else (error / deviation).abs()
    of_lattice = (length_weight * errors[:, :3].mean() + angle_weight * errors[:, 3:].mean()) / 2
    total = of_system + of_group + gemd_weight * of_graph + of_lattice
    return AlphaDiffractLoss(total, of_system, of_group, of_graph, of_lattice)


def gemd(logits: Tensor, truth: Tensor, hops: Tensor) -> Tensor:
    """Return the graph earth mover's distance to a one-hot truth: sum_k D[truth, k] p_k, mean over the batch."""
    return (hops[truth] * logits.softmax(dim=1)).sum(dim=1).mean()


def crystalnet_loss(density: Tensor, truth: Tensor, encoding: Encoding, kl_weight: float = 0.05) -> CrystalNetLoss:
    """Return the L1 error of the density in e/A^3 plus the weighted divergence of each embedding from N(0, 1)."""
    reconstruction = functional.l1_loss(density, truth)
    of_pattern = divergence(encoding.pattern)
    of_formula = of_pattern.new_zeros(()) if encoding.formula is None else divergence(encoding.formula)
    total = reconstruction + kl_weight * (of_pattern + of_formula)
    return CrystalNetLoss(total, reconstruction, of_pattern, of_formula)


def divergence(latent: Latent) -> Tensor:
    """Return -mean(1 + log sigma^2 - mu^2 - sigma^2), twice the KL divergence from N(0, 1) per dimension (eq. 6).

    The paper omits the minus sign; its code has it.
    """
    mean, variance = latent.mean.float(), latent.sigma.float() ** 2
    return -(1.0 + (variance + SIGMA_SQUARED_FLOOR).log() - mean**2 - variance).mean()
