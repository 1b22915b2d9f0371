"""Noise against its distribution and against the equations written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.simulate.noise import ablate_composition, add_noise, perturb, perturb_sticks, standardise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_gaussian_noise_the_counts_are_poissons() -> None:
    lam = 40.0
    pattern = torch.tensor([[2.0, 1.0, 0.5] + [0.0] * 5]).repeat(40_000, 1)
    noisy = add_noise(pattern, generator(), torch.full((40_000,), lam), torch.zeros(40_000))
    counts = noisy / 2.0 * lam  # eq. 1 undone; eqs. 2 and 3 change nothing where sigma is zero
    assert torch.allclose(counts, counts.round(), atol=1e-3)
    assert counts[:, :3].mean(dim=0).tolist() == pytest.approx([40.0, 20.0, 10.0], rel=0.01)
    assert counts[:, :3].var(dim=0).tolist() == pytest.approx([40.0, 20.0, 10.0], rel=0.05)
    assert (counts[:, 3:] == 0).all()


def test_the_three_equations_written_out_give_the_same_numbers() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((2, 500)) * 7
    lam, sigma = np.array([3.0, 90.0]), np.array([0.05, 0.01])
    g = generator(3)
    found = add_noise(torch.tensor(clean), g, torch.tensor(lam), torch.tensor(sigma)).numpy()
    g = generator(3)
    highest = clean.max(axis=1, keepdims=True)
    counts = torch.poisson(torch.tensor(lam[:, None] * clean / highest), generator=g).numpy()
    pois = highest / lam[:, None] * counts
    low, high = pois.min(axis=1, keepdims=True), pois.max(axis=1, keepdims=True)
    normal = torch.randn(2, 500, dtype=torch.float64, generator=g).numpy()
    gauss = (pois - low) / (high - low) + sigma[:, None] * normal
    unit = (gauss - gauss.min(axis=1, keepdims=True)) / np.ptp(gauss, axis=1)[:, None]
    np.testing.assert_allclose(found, unit * (high - low) + low, rtol=1e-10)


def test_parameters_are_drawn_from_the_papers_ranges_anew_for_each_sample() -> None:
    pattern = torch.zeros(3000, 64)
    pattern[:, :16] = 1.0
    noisy = add_noise(pattern, generator())
    background = noisy[:, 16:].std(dim=1) / (noisy.amax(dim=1) - noisy.amin(dim=1))
    assert 1e-4 < background.min() < 5e-3
    assert 0.06 < background.max() < 0.13
    assert background.unique().numel() == 3000


def test_a_pattern_whose_every_count_is_zero_still_gives_finite_numbers() -> None:
    pattern = torch.zeros(500, 32)
    pattern[:, 5] = 1.0
    noisy = add_noise(pattern, generator(), torch.ones(500), torch.full((500,), 0.01))
    assert noisy.isfinite().all()
    assert standardise(noisy).isfinite().all()


def test_standardised_patterns_span_0_to_100() -> None:
    scaled = standardise(torch.rand(5, 100) * 13 + 4)
    assert scaled.amin(dim=1).tolist() == [0.0] * 5
    assert scaled.amax(dim=1).tolist() == pytest.approx([100.0] * 5)


def test_sticks_move_by_whole_bins_and_fall_off_the_ends() -> None:
    sticks = torch.zeros(2000, 1024)
    sticks[:, 0] = sticks[:, 500] = sticks[:, 1023] = 1.0
    moved = perturb_sticks(sticks, generator()) > 0.5
    shifts = moved[:, 490:510].float().argmax(dim=1) - 10
    assert set(shifts.tolist()) == set(range(-3, 4))
    assert torch.equal(moved[:, :10].any(dim=1), shifts >= 0)
    assert torch.equal(moved[:, -10:].any(dim=1), shifts <= 0)
    assert 3 * 180 / 1024 < 0.6


def test_perturbation_is_small_and_never_negative() -> None:
    noisy = perturb(torch.zeros(100, 1024), generator())
    assert noisy.min() == 0.0
    assert noisy[noisy > 0].numel() / noisy.numel() == pytest.approx(0.5, abs=0.01)
    assert (noisy**2).mean().sqrt().item() == pytest.approx(1e-3 * 0.5**0.5, rel=0.02)


def test_composition_is_told_in_four_ways() -> None:
    composition = torch.zeros(200, 118)
    composition[:, 7], composition[:, 25] = 2 / 3, 1 / 3
    composition[0] = 0
    composition[0, 5] = 1.0
    assert torch.equal(ablate_composition(composition, "ratios"), composition)
    assert torch.equal(ablate_composition(composition, "none"), torch.zeros(200, 118))
    assert torch.equal(ablate_composition(composition, "elements"), (composition > 0).float())
    dropped = ablate_composition(composition, "drop-one", generator())
    assert dropped[0].nonzero().tolist() == [[5]]
    assert (dropped[1:].sum(dim=1) == 1).all()
    assert 60 < dropped[1:, 7].sum() < 140
    with pytest.raises(ValueError, match="unknown kind"):
        ablate_composition(composition, "mass")
