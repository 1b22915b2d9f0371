"""The network against the paper's sizes and against a plain numpy evaluation of its equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainer.models.alphadiffract import AlphaDiffract, AlphaDiffractConfig, ConvNeXtBlock, DropPath, head

# Blocks: depthwise + bias, norm, 80 -> 320 -> 80; the first also has its 1 -> 80 projection.
POINTWISE = 2 * 80 + (80 * 320 + 320) + (320 * 80 + 80)
BLOCKS = (80 * 100 + 80 + POINTWISE + 160) + (80 * 50 + 80 + POINTWISE) + (80 * 25 + 80 + POINTWISE)
HEADS = sum(
    (560 * a + a) + (a * b + b) + (b * out + out) for a, b, out in ((2300, 1150, 7), (2300, 1150, 230), (512, 256, 6))
)


@pytest.fixture(scope="module")
def full_size() -> AlphaDiffract:
    torch.manual_seed(0)
    return AlphaDiffract().eval()


def test_the_extractor_makes_560_features_of_8192_points(full_size: AlphaDiffract) -> None:
    with torch.no_grad():
        features = full_size.features(torch.rand(2, 8192))
    assert features.shape == (2, 560)


def test_every_pooling_leaves_the_lengths_that_lead_to_560(full_size: AlphaDiffract) -> None:
    lengths = []
    x = torch.rand(1, 1, 8192)
    with torch.no_grad():
        for stage in full_size.extractor:
            x = stage(x)
            lengths.append(x.shape[-1])
    assert lengths == [8192, 1638, 818, 818, 163, 81, 81, 16, 7]


def test_the_parameter_count_is_the_sum_worked_out_by_hand(full_size: AlphaDiffract) -> None:
    assert BLOCKS + HEADS == 8_735_469
    assert sum(p.numel() for p in full_size.parameters()) == BLOCKS + HEADS


def test_outputs_are_logits_and_a_lattice_within_its_bounds(full_size: AlphaDiffract) -> None:
    with torch.no_grad():
        system, group, lattice = full_size(100 * torch.rand(3, 8192))
    assert (system.shape, group.shape, lattice.shape) == ((3, 7), (3, 230), (3, 6))
    assert ((lattice > 0) & (lattice < torch.tensor([500.0] * 3 + [180.0] * 3))).all()


def test_lattice_outputs_follow_equation_4() -> None:
    torch.manual_seed(1)
    model = AlphaDiffract(AlphaDiffractConfig(input_points=2000, channels=(4, 4, 4), lattice_hidden=(5, 4))).eval()
    with torch.no_grad():
        features = model.features(torch.rand(2, 2000))
        raw = model.lattice(features).double().numpy()
        found = model.heads(features).lattice.numpy()
    upper = np.array([500.0] * 3 + [180.0] * 3)
    np.testing.assert_allclose(found, upper / (1 + np.exp(-raw)), rtol=1e-5)


MEAN = torch.tensor([4.9, 5.3, 6.8, 89.6, 87.6, 89.0])
DEVIATION = torch.tensor([1.1, 1.3, 2.4, 18.8, 17.2, 20.7])


def started(mean: torch.Tensor = MEAN) -> AlphaDiffract:
    torch.manual_seed(1)
    config = AlphaDiffractConfig(input_points=2000, channels=(4, 4, 4), lattice_hidden=(5, 4), lattice_start="training")
    model = AlphaDiffract(config).eval()
    model.start_lattice_at(mean, DEVIATION)
    return model


def test_a_lattice_that_starts_at_the_training_side_has_its_mean_and_deviation_as_zero_and_unit() -> None:
    model = started()
    features = torch.zeros(1, model.lattice[0].in_features)  # type: ignore[arg-type]
    last = model.lattice[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        for output in (0.0, 0.01, -0.01):
            last.bias.fill_(output)
            found = model.heads(features).lattice[0]
            np.testing.assert_allclose(found, MEAN + output * DEVIATION, rtol=0, atol=0.01 * abs(output) * 20.7 + 1e-4)
        last.bias.fill_(50.0)
        assert (model.heads(features).lattice <= torch.tensor([500.0] * 3 + [180.0] * 3)).all()


def test_the_start_is_kept_with_the_weights_and_only_where_it_was_chosen() -> None:
    kept = started().state_dict()
    other = started(MEAN + 1)
    other.load_state_dict(kept)
    assert torch.equal(other.start, torch.logit(MEAN / torch.tensor([500.0] * 3 + [180.0] * 3)))
    paper = AlphaDiffract(AlphaDiffractConfig(input_points=2000, channels=(4, 4, 4)))
    assert {"start", "unit"} <= set(kept)
    assert not {"start", "unit"} & set(paper.state_dict())


def test_a_mean_outside_of_the_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the bounds"):
        started(MEAN + torch.tensor([600.0, 0, 0, 0, 0, 0]))


def test_prepared_patterns_are_averaged_then_have_zero_mean_and_unit_variance() -> None:
    config = AlphaDiffractConfig(input_points=2000, channels=(4, 4, 4), input_pool=4, standardise_input=True,
                                 second_pool=None)  # fmt: skip
    pattern = np.random.default_rng(5).random((3, 2000)) * 100
    pattern[2] = 7.0
    binned = pattern.reshape(3, 500, 4).mean(axis=2)
    expected = (binned - binned.mean(axis=1)[:, None]) / np.maximum(binned.std(axis=1, ddof=1), 1e-6)[:, None]
    model = AlphaDiffract(config).eval()
    found = model.prepare(torch.tensor(pattern, dtype=torch.float32))
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    assert model.features(torch.tensor(pattern, dtype=torch.float32)).shape == (3, 4 * 4)  # 500, 100, 20, 4


@pytest.mark.parametrize(("n_in", "n_out", "kernel"), [(1, 6, 10), (6, 6, 5)])
def test_a_block_equals_its_equations_in_numpy(n_in: int, n_out: int, kernel: int) -> None:
    torch.manual_seed(2)
    block = ConvNeXtBlock(n_in, n_out, kernel, expansion=4, drop_path=0.3).eval()
    for p in block.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x = np.random.default_rng(0).normal(size=(n_in, 40))
    w = {name: value.detach().double().numpy() for name, value in block.named_parameters()}

    padded = np.pad(x, ((0, 0), ((kernel - 1) // 2, kernel // 2)))
    filters = n_out // n_in
    depthwise = np.array(
        [
            [
                w["depthwise.bias"][c] + w["depthwise.weight"][c, 0] @ padded[c // filters, t : t + kernel]
                for t in range(40)
            ]
            for c in range(n_out)
        ]
    )
    normed = (depthwise - depthwise.mean(axis=0)) / np.sqrt(depthwise.var(axis=0) + 1e-5)
    normed = normed * w["norm.weight"][:, None] + w["norm.bias"][:, None]
    hidden = w["expand.weight"] @ normed + w["expand.bias"][:, None]
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    branch = w["project.weight"] @ gelu + w["project.bias"][:, None]
    kept = x if n_in == n_out else w["residual.weight"][:, :, 0] @ x + w["residual.bias"][:, None]

    with torch.no_grad():
        found = block(torch.tensor(x[None], dtype=torch.float32))[0].numpy()
    np.testing.assert_allclose(found, kept + branch, atol=2e-4)


def test_a_head_is_two_rectified_layers_and_a_linear_one() -> None:
    torch.manual_seed(3)
    layers = head(5, (4, 3), 2)
    w = [p.detach().double().numpy() for p in layers.parameters()]
    x = np.random.default_rng(1).normal(size=(7, 5))
    hidden = np.maximum(x @ w[0].T + w[1], 0)
    hidden = np.maximum(hidden @ w[2].T + w[3], 0)
    with torch.no_grad():
        found = layers(torch.tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, hidden @ w[4].T + w[5], atol=1e-5)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(4)
    layer = DropPath(0.3).train()
    out = layer(torch.ones(20_000, 2, 3))
    by_sample = out.flatten(1)
    assert (by_sample == by_sample[:, :1]).all()
    dropped = (by_sample[:, 0] == 0).double().mean().item()
    assert dropped == pytest.approx(0.3, abs=0.015)
    assert out[out > 0].unique().item() == pytest.approx(1 / 0.7)
    assert torch.equal(layer.eval()(torch.ones(4, 2)), torch.ones(4, 2))


def test_a_pattern_too_short_for_the_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no point of 100"):
        AlphaDiffract(AlphaDiffractConfig(input_points=100))


@pytest.mark.parametrize("second_pool", [(3, 2), (2, 1), None])
@pytest.mark.parametrize("points", [2000, 2013])
def test_the_pooled_network_equals_its_stages_one_by_one(points: int, second_pool: tuple[int, int] | None) -> None:
    """Features and all gradients, in double precision, with the same dropped paths."""
    torch.manual_seed(3)
    config = AlphaDiffractConfig(
        input_points=points, channels=(8, 16, 16), kernels=(20, 9, 4), strides=(5, 4, 3), second_pool=second_pool
    )
    model = AlphaDiffract(config).double().train()
    pattern = 100 * torch.rand(5, points, dtype=torch.float64) ** 4

    def outcome(features: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        model.zero_grad()
        torch.manual_seed(5)
        found = features(pattern)
        (found.sin() + found**2).sum().backward()
        return [found.detach(), *(p.grad.clone() for p in model.extractor.parameters() if p.grad is not None)]

    fast = outcome(model.features)
    slow = outcome(lambda x: model.extractor(model.prepare(x)).flatten(1))
    assert len(fast) == 1 + len(list(model.extractor.parameters()))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("points", "kernel"), [(100, 7), (64, 100), (17, 4)])
def test_a_convolution_of_one_channel_as_a_product_equals_torchs(points: int, kernel: int) -> None:
    torch.manual_seed(0)
    block = ConvNeXtBlock(1, 6, kernel, 2, 0.0).double()
    x = torch.rand(3, 1, points, dtype=torch.float64)
    wanted = block.depthwise(torch.nn.functional.pad(x, block.pad)).transpose(1, 2)
    torch.testing.assert_close(block._convolved_by_product(x[:, 0]), wanted, rtol=1e-12, atol=1e-12)
