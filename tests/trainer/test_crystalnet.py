"""The network against parameter counts worked out by hand and against a plain numpy evaluation of its equations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.models.crystalnet import (
    CrystalNet,
    CrystalNetConfig,
    Encoding,
    Latent,
    PatternEncoder,
    PositionEncoder,
    formula_encoder,
    fusion,
)

Array = NDArray[np.float64]


def linear(n_in: int, n_out: int) -> int:
    return n_in * n_out + n_out


@pytest.fixture(scope="module")
def full_size() -> CrystalNet:
    torch.manual_seed(0)
    return shaken(CrystalNet()).eval()


def shaken(model: nn.Module) -> nn.Module:
    """Give batch norms statistics and weights that a wrong formula would show."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def in_numpy(layers: Sequence[nn.Module], x: Array) -> Array:
    """Evaluate linear, batch norm (with running statistics) and ReLU on rows of x."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = x @ f64(layer.weight).T + f64(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d):
            x = (x - f64(layer.running_mean)) / np.sqrt(f64(layer.running_var) + 1e-5)
            x = x * f64(layer.weight) + f64(layer.bias)
        elif isinstance(layer, nn.ReLU):
            x = np.maximum(x, 0)
        else:
            raise TypeError(type(layer))
    return x


def f64(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().numpy()


def conv_in_numpy(layer: nn.Conv1d, x: Array) -> Array:
    weight = f64(layer.weight)
    half = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (half, half)))
    taps = [weight[:, :, k] @ padded[:, k : k + x.shape[1]] for k in range(weight.shape[2])]
    return np.sum(taps, axis=0) + (0 if layer.bias is None else f64(layer.bias)[:, None])


def norm_in_numpy(layer: nn.LayerNorm, x: Array) -> Array:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * f64(layer.weight) + f64(layer.bias)


def test_the_parameter_count_is_the_sum_worked_out_by_hand(full_size: CrystalNet) -> None:
    norm = 2 * 512
    formula = linear(118, 512) + norm + 2 * (linear(512, 512) + norm)
    pattern = (
        (8 * 3 + 2 * 8 * 1024)
        + sum(8 * (i + 1) * 8 * 3 + 2 * 8 * 1024 for i in range(4))
        + (40 * 16 + 2 * 16 * 1024)
        + sum(8 * (i + 2) * 8 * 3 + 2 * 8 * 512 for i in range(4))
        + (48 + 1)
        + linear(512, 512)
        + norm
    )
    fuse = 3 * (linear(1024, 1024) + 2 * 1024) + linear(1024, 512) + norm
    place = linear(256, 512) + norm + linear(512, 512)
    first = 4 * (linear(512, 512) + norm)
    later = linear(1024, 512) + norm + 3 * (linear(512, 512) + norm)
    total = 2 * formula + 2 * pattern + 2 * fuse + place + first + 3 * later + linear(512, 1)
    assert total == 14_774_163
    assert sum(p.numel() for p in full_size.parameters()) == total


def test_density_comes_out_for_every_crystal_and_point(full_size: CrystalNet) -> None:
    with torch.no_grad():
        density, encoding = full_size(torch.rand(3, 1024), torch.rand(3, 118), torch.rand(3, 20, 3))
    assert density.shape == (3, 20)
    assert encoding.formula is not None
    assert [t.shape for latent in encoding for t in latent or ()] == [(3, 512)] * 4


def test_the_pattern_encoder_equals_its_equations_in_numpy() -> None:
    torch.manual_seed(1)
    config = CrystalNetConfig(width=16, dense_blocks=2)
    encoder = shaken(PatternEncoder(config)).eval()
    for norm in (m for m in encoder.modules() if isinstance(m, nn.LayerNorm)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    pattern = np.random.default_rng(0).random((2, 1024))

    def dense(layer: nn.Sequential, x: Array) -> Array:
        return np.maximum(norm_in_numpy(layer[1], conv_in_numpy(layer[0], x)), 0)

    expected = []
    for sticks in pattern:
        x = dense(encoder.first, sticks[None])
        for layer in encoder.dense_fine:
            x = np.concatenate([x, dense(layer, x)])
        x = dense(encoder.transition, x)
        x = x.reshape(len(x), -1, 2).mean(axis=2)
        assert x.shape == (16, 512)
        for layer in encoder.dense_coarse:
            x = np.concatenate([x, dense(layer, x)])
        expected.append(conv_in_numpy(encoder.last[0], x)[0])
    wanted = in_numpy(list(encoder.last)[2:], np.array(expected))
    with torch.no_grad():
        found = encoder(torch.tensor(pattern, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_the_formula_encoder_ends_without_a_rectifier() -> None:
    torch.manual_seed(2)
    encoder = shaken(formula_encoder(CrystalNetConfig(width=12))).eval()
    assert [type(layer).__name__ for layer in encoder] == ["Linear", "BatchNorm1d", "ReLU"] * 2 + [
        "Linear",
        "BatchNorm1d",
    ]
    x = np.random.default_rng(1).random((3, 118))
    with torch.no_grad():
        found = encoder(torch.tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, in_numpy(encoder, x), atol=1e-5)


def test_the_fusion_has_four_layers_each_rectified() -> None:
    torch.manual_seed(3)
    layers = shaken(fusion(CrystalNetConfig(width=6, fusion_width=10))).eval()
    assert [(m.in_features, m.out_features) for m in layers if isinstance(m, nn.Linear)] == [
        (12, 10),
        (10, 10),
        (10, 10),
        (10, 6),
    ]
    x = np.random.default_rng(2).normal(size=(4, 12))
    with torch.no_grad():
        found = layers(torch.tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, in_numpy(layers, x), atol=1e-5)
    assert (found >= 0).all()


def test_positions_are_centred_and_turned_into_sines_and_cosines() -> None:
    torch.manual_seed(4)
    config = CrystalNetConfig(width=8, fourier_frequencies=5)
    encoder = shaken(PositionEncoder(config)).eval()
    position = np.random.default_rng(3).random((6, 3))
    phase = 2 * np.pi * (position - 0.5) @ f64(encoder.frequencies).T
    wanted = in_numpy(encoder.layers, np.concatenate([np.sin(phase), np.cos(phase)], axis=1))
    with torch.no_grad():
        found = encoder(torch.tensor(position, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_frequencies_have_the_papers_spread_and_are_not_trained(full_size: CrystalNet) -> None:
    assert full_size.position.frequencies.shape == (128, 3)
    assert full_size.position.frequencies.std().item() == pytest.approx(3.0, rel=0.15)
    assert not any(name.endswith("frequencies") for name, _ in full_size.named_parameters())
    assert "position.frequencies" in full_size.state_dict()


def test_the_regressor_sees_the_conditioned_position_again_in_every_later_block() -> None:
    torch.manual_seed(5)
    model = shaken(CrystalNet(CrystalNetConfig(width=6, fusion_width=8, fourier_frequencies=4))).eval()
    embedding = np.random.default_rng(4).normal(size=(2, 12))
    position = np.random.default_rng(5).random((2, 3, 3))
    gamma, beta = in_numpy(model.film_scale, embedding), in_numpy(model.film_shift, embedding)
    phase = 2 * np.pi * (position.reshape(-1, 3) - 0.5) @ f64(model.position.frequencies).T
    placed = in_numpy(model.position.layers, np.concatenate([np.sin(phase), np.cos(phase)], axis=1))
    conditioned = np.repeat(gamma, 3, axis=0) * placed + np.repeat(beta, 3, axis=0)
    x = in_numpy(model.regressor[0], conditioned)
    for block in list(model.regressor)[1:]:
        x = in_numpy(block, np.concatenate([x, conditioned], axis=1))
    wanted = in_numpy([model.density], x).reshape(2, 3)
    with torch.no_grad():
        found = model.decode(torch.tensor(embedding).float(), torch.tensor(position).float()).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_conditioning_by_crystal_equals_conditioning_by_point_in_training_too() -> None:
    torch.manual_seed(6)
    layers = fusion(CrystalNetConfig(width=6, fusion_width=8)).train()
    embedding = torch.randn(5, 12)
    by_point = layers(embedding.repeat_interleave(7, dim=0))
    by_crystal = layers(embedding)
    assert torch.allclose(by_point, by_crystal.repeat_interleave(7, dim=0), atol=1e-5)


def test_a_sample_is_the_mean_plus_noise_times_sigma() -> None:
    latent = Latent(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -3.0]]))
    assert latent.sample(torch.tensor([[2.0, 1.0]])).tolist() == [[2.0, -1.0]]
    model = CrystalNet(CrystalNetConfig(width=2, composition="none"))
    drawn = model.sample(Encoding(Latent(torch.zeros(1, 2), torch.ones(1, 2)), None))
    assert drawn.shape == (1, 4)
    assert drawn[0, 2:].tolist() == [0.0, 0.0]
    assert drawn[0, :2].abs().min() > 0


def test_without_composition_there_is_no_formula_encoder_and_no_influence() -> None:
    torch.manual_seed(7)
    model = CrystalNet(CrystalNetConfig(width=8, fusion_width=8, composition="none")).eval()
    assert not any(name.startswith("formula") for name, _ in model.named_parameters())
    pattern, position = torch.rand(2, 1024), torch.rand(2, 4, 3)
    drawn = [
        model(pattern, torch.rand(2, 118), position, torch.Generator().manual_seed(1))[0].detach() for _ in range(2)
    ]
    assert torch.equal(*drawn)


def test_an_unknown_kind_of_composition_is_refused() -> None:
    with pytest.raises(ValueError, match="composition: expected one of"):
        CrystalNetConfig(composition="mass")
