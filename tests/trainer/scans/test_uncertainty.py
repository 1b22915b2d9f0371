"""Uncertainties of counts, rates, and intensities on an unknown scale."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.scans.scan import Scan, ScanError, unit_of
from trainer.scans.uncertainty import from_scatter, noise_gain

X = np.arange(10, 90, 0.02)
EXPECTED = 200 + sum(
    a * np.exp(-0.5 * ((X - p) / 0.08) ** 2) for p, a in ((20, 9000), (33, 3000), (47, 5000), (71, 800))
)
COUNTS = np.random.default_rng(3).poisson(EXPECTED).astype(float)


def test_counts_have_the_uncertainty_of_poisson() -> None:
    scan = Scan.from_arrays(X, COUNTS)
    assert scan.unit == "counts"
    np.testing.assert_allclose(scan.uncertainty, np.sqrt(COUNTS))


@pytest.mark.parametrize("scale", [1e-4, 0.01, 0.37, 1234.5])
def test_scaled_counts_have_their_scale_in_the_uncertainty(scale: float) -> None:
    scan = Scan.from_arrays(X, scale * COUNTS)
    assert scan.unit == "arbitrary"
    ratio = scan.uncertainty / (scale * np.sqrt(EXPECTED))
    assert 0.9 < np.median(ratio) < 1.1
    assert 0.7 < np.percentile(ratio, 1) < np.percentile(ratio, 99) < 1.4


def test_a_subtracted_background_leaves_its_noise() -> None:
    net = 0.1 * (COUNTS - 200)
    flat = from_scatter(net)[EXPECTED < 201]
    assert 0.85 < np.median(flat) / (0.1 * np.sqrt(200)) < 1.15


def test_calculated_profiles_have_next_to_no_noise() -> None:
    assert np.median(from_scatter(EXPECTED)) < 0.02 * np.sqrt(200)


def test_whole_numbers_are_counts_only_if_they_scatter_as_counts() -> None:
    assert noise_gain(COUNTS) == pytest.approx(1.0, abs=0.1)
    few = np.random.default_rng(0).poisson(4, 3000).astype(float)
    assert unit_of(few) == "counts"
    assert unit_of(100 * COUNTS) == "arbitrary"
    assert unit_of(np.round(EXPECTED)) == "arbitrary"
    assert unit_of(COUNTS + 0.5) == "arbitrary"
    assert unit_of(COUNTS - 300) == "arbitrary"


def test_rates_with_a_time_are_counts_again() -> None:
    scan = Scan.from_arrays(X, COUNTS / 2, unit="counts/s")
    assert scan.is_rate
    assert 0.9 < np.median(scan.uncertainty / (np.sqrt(EXPECTED) / 2)) < 1.1


def test_arrays_are_checked() -> None:
    with pytest.raises(ScanError, match="of one length"):
        Scan.from_arrays(X, COUNTS[:-1])
    assert Scan.from_arrays(X, COUNTS, 1.5406, np.ones_like(X)).uncertainty[0] == 1
