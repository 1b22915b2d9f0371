"""Patterns on the axis ln q: the same for any wavelength, shifted by a change of scale, without background."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.simulate.axis import CU_KALPHA1_A, LN_Q_STEP, N_BINS, Q_MIN
from trainer.simulate.log_q import (
    N_ANGLES,
    angles_deg,
    network_input,
    remove_background,
    scan_on_grid,
    shifted,
    to_log_q,
)

EVERYWHERE = torch.ones(1, N_ANGLES, dtype=torch.bool)


def peak(q: float, width_deg: float = 0.2) -> torch.Tensor:
    """A Gaussian peak at q on the grid of angles."""
    centre = np.degrees(2 * np.arcsin(q * CU_KALPHA1_A / (4 * np.pi)))
    return torch.from_numpy(np.exp(-0.5 * ((angles_deg() - centre) / width_deg) ** 2)).float()[None]


def bin_of(q: float) -> float:
    return float(np.log(q / Q_MIN) / LN_Q_STEP - 0.5)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(0.5, 5.0))
def test_a_peak_is_in_the_bin_of_its_q(q: float) -> None:
    inputs = to_log_q(peak(q), EVERYWHERE)
    assert inputs.shape == (1, 2, N_BINS)
    assert abs(int(inputs[0, 0].argmax()) - bin_of(q)) <= 2
    assert float(inputs[0, 0].max()) == 1.0


@pytest.mark.parametrize("wavelength_A", [0.5, 0.70932, 1.2, 1.7890])
def test_the_wavelength_does_not_matter(wavelength_A: float) -> None:
    q = np.linspace(0.6, 4.0, 6000)
    intensity = sum(np.exp(-0.5 * ((q - centre) / 0.01) ** 2) for centre in (1.0, 1.7, 2.9))
    found = []
    for wavelength in (CU_KALPHA1_A, wavelength_A):
        angle = np.degrees(2 * np.arcsin(q * wavelength / (4 * np.pi)))
        scan = scan_on_grid(angle, intensity, wavelength)
        assert scan is not None
        found.append(network_input(scan[0][None], scan[1][None]))
    assert torch.equal(found[0][:, 1], found[1][:, 1])
    assert float((found[0] - found[1]).abs().max()) < 0.02


def test_a_larger_crystal_is_a_shifted_pattern() -> None:
    lines = (1.1, 1.9, 2.3)
    bins = 40
    small = to_log_q(sum(peak(q * np.exp(bins * LN_Q_STEP)) for q in lines), EVERYWHERE)
    large = shifted(to_log_q(sum(peak(q) for q in lines), EVERYWHERE), bins)
    for q in lines:
        at = round(bin_of(q)) + bins
        assert abs(int(small[0, 0, at - 30 : at + 30].argmax()) - int(large[0, 0, at - 30 : at + 30].argmax())) <= 1


@pytest.mark.parametrize("bins", [-24, -1, 0, 1, 24])
def test_shifting_there_and_back_loses_the_ends_only(bins: int) -> None:
    inputs = torch.rand(2, 2, N_BINS)
    again = shifted(shifted(inputs, bins), -bins)
    middle = slice(abs(bins), N_BINS - abs(bins))
    assert torch.equal(again[..., middle], inputs[..., middle])


def test_background_goes_and_peaks_stay() -> None:
    grid = torch.from_numpy(angles_deg()).float()
    background = 300 * torch.exp(-grid / 20) + 40 + 60 * torch.exp(-(((grid - 25) / 8) ** 2))
    peaks = 1000 * (peak(1.8, 0.1) + 0.3 * peak(3.0, 0.15))
    left = remove_background(peaks + background, EVERYWHERE)
    strong = peaks[0] > 100
    assert float((left - peaks)[0][strong].abs().max()) < 60
    assert float((left - peaks)[0][peaks[0] < 1].abs().mean()) < 12


def test_what_was_not_measured_is_masked_and_does_not_matter() -> None:
    measured = EVERYWHERE.clone()
    measured[:, :800] = False
    pattern = 1000 * peak(1.8) + 50
    other = pattern.clone()
    other[:, :800] = 7e5
    first, second = network_input(pattern, measured), network_input(other, measured)
    assert torch.equal(first, second)
    assert set(first[0, 1].unique().tolist()) == {0.0, 1.0}
    assert float(first[0, 0][first[0, 1] == 0].abs().max()) == 0.0


def test_a_scan_beside_the_grid_is_none() -> None:
    assert scan_on_grid(np.linspace(0.5, 2.0, 500), np.ones(500), CU_KALPHA1_A) is None


def test_points_in_any_order_and_missing_ones_are_read() -> None:
    angle = np.linspace(6, 80, 4000)
    intensity = 10 + np.exp(-0.5 * ((angle - 40) / 0.1) ** 2)
    order = np.random.default_rng(0).permutation(4000)
    broken = intensity.copy()
    broken[100] = np.nan
    first, second = (
        scan_on_grid(angle, intensity, CU_KALPHA1_A),
        scan_on_grid(angle[order], broken[order], CU_KALPHA1_A),
    )
    assert first is not None
    assert second is not None
    assert float((first[0] - second[0]).abs().max()) < 1e-3
