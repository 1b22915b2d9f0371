"""SSIM and PSNR beside scikit-image, and the 24 rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from trainer.training.similarity import psnr, rotated_scores, rotations, ssim, window_mean


def volumes(noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    axis = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    truth = np.stack([np.exp(np.cos(x) + np.cos(2 * y + k) + np.cos(z)) * 10**k for k in range(3)])
    return truth, truth + noise * np.ptp(truth, axis=(1, 2, 3))[:, None, None, None] * rng.normal(size=truth.shape)


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.1, 2.0])
def test_ssim_equals_scikit_images_to_a_millionth(noise: float) -> None:
    truth, other = volumes(noise)
    wanted = [structural_similarity(t, o, win_size=7, data_range=np.ptp(t)) for t, o in zip(truth, other, strict=True)]
    np.testing.assert_allclose(ssim(torch.tensor(truth), torch.tensor(other)).numpy(), wanted, atol=1e-6)


def test_ssim_of_single_precision_densities_agrees_as_well() -> None:
    truth, other = (v.astype(np.float32) for v in volumes(0.05))
    wanted = [
        structural_similarity(t.astype(float), o.astype(float), data_range=float(np.ptp(t)))
        for t, o in zip(truth, other, strict=True)
    ]
    np.testing.assert_allclose(ssim(torch.tensor(truth), torch.tensor(other)).numpy(), wanted, atol=1e-6)


def test_psnr_equals_scikit_images() -> None:
    truth, other = volumes(0.1)
    wanted = [peak_signal_noise_ratio(t, o, data_range=np.ptp(t)) for t, o in zip(truth, other, strict=True)]
    np.testing.assert_allclose(psnr(torch.tensor(truth), torch.tensor(other)).numpy(), wanted, rtol=1e-9)


def test_there_are_24_different_rotations_and_no_reflection() -> None:
    cube = torch.arange(27.0).view(1, 3, 3, 3)
    poses = list(rotations(cube))
    assert torch.equal(poses[0], cube)
    assert len({tuple(p.flatten().tolist()) for p in poses}) == 24
    mirrored = tuple(cube.flip(1).flatten().tolist())
    assert mirrored not in {tuple(p.flatten().tolist()) for p in poses}


def test_the_rotations_form_a_group() -> None:
    cube = torch.arange(27.0).view(1, 3, 3, 3)
    once = {tuple(p.flatten().tolist()) for p in rotations(cube)}
    twice = {tuple(q.flatten().tolist()) for p in rotations(cube) for q in rotations(p)}
    assert once == twice


def test_means_axis_by_axis_are_the_means_over_cubes() -> None:
    volume = torch.rand(2, 15, 12, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cubes = torch.nn.functional.avg_pool3d(volume.unsqueeze(1), 7, stride=1).squeeze(1)
    assert (window_mean(volume) - cubes).abs().max() < 1e-15


@pytest.mark.parametrize("points", [10, 25])
def test_rotations_that_share_their_means_score_as_each_alone(points: int) -> None:
    truth, other = (torch.tensor(v)[:, :points, :points, :points] for v in volumes(0.3))
    ssims, psnrs = rotated_scores(truth, other)
    assert ssims.shape == psnrs.shape == (24, 3)
    for k, turned in enumerate(rotations(other)):
        assert (ssims[k] - ssim(truth, turned)).abs().max() < 1e-12
        assert (psnrs[k] - psnr(truth, turned)).abs().max() < 1e-10  # dB
