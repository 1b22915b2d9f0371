"""Every loss term against arithmetic in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainer.models.alphadiffract import Prediction
from trainer.models.crystalnet import Encoding, Latent
from trainer.training.class_prior import LogitAdjustments
from trainer.training.gemd import hop_matrix
from trainer.training.losses import alphadiffract_loss, crystalnet_loss, divergence, gemd

HOPS = torch.tensor(hop_matrix()).float()


def test_each_term_and_the_total_of_alphadiffract() -> None:
    rng = np.random.default_rng(0)
    system, group = rng.normal(size=(3, 7)), rng.normal(size=(3, 230))
    lattice, truth = rng.random((3, 6)) * 100, rng.random((3, 6)) * 100
    s, g = np.array([0, 6, 2]), np.array([1, 229, 14])

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    of_system = -np.log(softmax(system)[range(3), s]).mean()
    of_group = -np.log(softmax(group)[range(3), g]).mean()
    of_graph = np.mean([(hop_matrix()[g[i]] * softmax(group)[i]).sum() for i in range(3)])
    of_lattice = ((lattice - truth) ** 2).mean(axis=1).mean()

    prediction = Prediction(*(torch.tensor(x, dtype=torch.float32) for x in (system, group, lattice)))
    labels = torch.tensor(s), torch.tensor(g), torch.tensor(truth, dtype=torch.float32)
    found = alphadiffract_loss(prediction, *labels, HOPS, gemd_weight=2.0)
    assert found.crystal_system.item() == pytest.approx(of_system, rel=1e-5)
    assert found.space_group.item() == pytest.approx(of_group, rel=1e-5)
    assert found.gemd.item() == pytest.approx(of_graph, rel=1e-5)
    assert found.lattice.item() == pytest.approx(of_lattice, rel=1e-5)
    assert found.total.item() == pytest.approx(of_system + of_group + 2 * of_graph + of_lattice, rel=1e-5)


def test_lengths_and_angles_can_be_weighed() -> None:
    prediction = Prediction(torch.zeros(1, 7), torch.zeros(1, 230), torch.tensor([[1.0, 2, 3, 90, 90, 90]]))
    labels = torch.tensor([0]), torch.tensor([0]), torch.tensor([[2.0, 2, 3, 90, 96, 90]])
    found = [alphadiffract_loss(prediction, *labels, HOPS, 1.0, *w).lattice.item() for w in ((1, 1), (2, 0), (0, 0.1))]
    assert found == pytest.approx([37 / 6, 2 / 6, 3.6 / 6])


def test_lattice_errors_can_be_magnitudes_in_units_of_a_deviation() -> None:
    prediction = Prediction(torch.zeros(1, 7), torch.zeros(1, 230), torch.tensor([[1.0, 2, 3, 90, 90, 90]]))
    labels = torch.tensor([0]), torch.tensor([0]), torch.tensor([[2.0, 2, 1, 90, 96, 90]])
    deviation = torch.tensor([2.0, 1, 4, 10, 20, 30])
    found = [
        alphadiffract_loss(prediction, *labels, HOPS, 1.0, *w, deviation=deviation).lattice.item()
        for w in ((1, 1), (2, 0), (0, 0.1))
    ]
    lengths, angles = (1 / 2 + 2 / 4) / 3, 6 / 20 / 3
    assert found == pytest.approx([(lengths + angles) / 2, lengths, 0.1 * angles / 2])


def test_gemd_of_a_certain_answer_is_its_distance() -> None:
    logits = torch.full((2, 230), -1e9)
    logits[0, 224] = logits[1, 0] = 0.0
    truth = torch.tensor([224, 224])
    assert gemd(logits[:1], truth[:1], HOPS).item() == 0.0
    assert gemd(logits[1:], truth[1:], HOPS).item() == hop_matrix()[224, 0]


def test_gemd_pulls_probability_towards_the_truth() -> None:
    logits = torch.zeros(1, 230, requires_grad=True)
    gemd(logits, torch.tensor([61]), HOPS).backward()
    assert logits.grad is not None
    assert logits.grad[0, 61] == logits.grad.min()


def test_divergence_is_twice_kullback_leibler_per_dimension_but_for_the_floor() -> None:
    mean, sigma = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.5, -2.0]])
    kl = [0.5 * (m * m + s * s - 1 - math.log(s * s)) for m, s in zip(mean[0].tolist(), sigma[0].tolist(), strict=True)]
    assert divergence(Latent(mean, sigma)).item() == pytest.approx(2 * sum(kl) / 2, rel=1e-3)


def test_divergence_is_least_at_the_unit_gaussian_and_finite_at_zero_sigma() -> None:
    unit = divergence(Latent(torch.zeros(1, 4), torch.ones(1, 4)))
    assert unit.item() == pytest.approx(0.0, abs=2e-4)
    assert divergence(Latent(torch.zeros(1, 4), 1.3 * torch.ones(1, 4))) > unit
    assert divergence(Latent(torch.zeros(1, 4), torch.zeros(1, 4))).item() == pytest.approx(-1 - math.log(1e-4))


def test_crystalnet_adds_both_divergences_to_the_mean_absolute_error() -> None:
    pattern = Latent(torch.full((2, 3), 2.0), torch.ones(2, 3))
    formula = Latent(torch.full((2, 3), 1.0), torch.ones(2, 3))
    density, truth = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.5, 2.0], [3.0, 5.0]])
    found = crystalnet_loss(density, truth, Encoding(pattern, formula))
    assert found.density.item() == pytest.approx(1.5 / 4)
    assert found.total.item() == pytest.approx(0.375 + 0.05 * (4 + 1), abs=1e-4)
    alone = crystalnet_loss(density, truth, Encoding(pattern, None))
    assert alone.total.item() == pytest.approx(0.375 + 0.05 * 4, abs=1e-4)


def test_smoothed_labels_and_adjusted_logits_enter_both_cross_entropies_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    system, group = torch.randn(4, 7, generator=generator), torch.randn(4, 230, generator=generator)
    lattice = torch.zeros(4, 6)
    s, g = torch.tensor([0, 6, 2, 2]), torch.tensor([1, 229, 14, 14])
    adjustments = LogitAdjustments(torch.randn(7, generator=generator), torch.randn(230, generator=generator))
    prediction = Prediction(system, group, lattice)
    found = alphadiffract_loss(prediction, s, g, lattice, HOPS, adjustments=adjustments, label_smoothing=0.1)

    def expected(logits: torch.Tensor, truth: torch.Tensor) -> float:
        log_p = logits.log_softmax(dim=1)
        return float(-(0.9 * log_p[range(4), truth] + 0.1 * log_p.mean(dim=1)).mean())

    assert found.crystal_system.item() == pytest.approx(expected(system + adjustments.crystal_system, s), rel=1e-5)
    assert found.space_group.item() == pytest.approx(expected(group + adjustments.space_group, g), rel=1e-5)
    plain = alphadiffract_loss(prediction, s, g, lattice, HOPS)
    assert torch.equal(found.gemd, plain.gemd)
