"""K-alpha2 taken out of a scan: what is left is the scan of K-alpha1."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.scans.alpha2 import without_alpha2
from trainer.scans.scan import Radiation, Scan

LINES = (1.5405929, 1.5444274)
DOUBLET = Radiation(LINES, 0.5, "Cu")
X = np.arange(10, 100, 0.01)


def pattern(wavelength_A: float) -> np.ndarray:
    spacings = np.array([4.0, 2.9, 2.1, 1.6, 1.25, 1.1])
    angles = 2 * np.degrees(np.arcsin(wavelength_A / 2 / spacings))
    return np.asarray(sum(1000 * np.exp(-0.5 * ((X - at) / 0.05) ** 2) for at in angles))


def test_the_lines_of_alpha1_are_left() -> None:
    alone = pattern(LINES[0])
    found = without_alpha2(Scan(X, alone + 0.5 * pattern(LINES[1]) + 30, radiation=DOUBLET))
    np.testing.assert_allclose(found.intensity, alone + 20, atol=10)  # the background is of both lines
    assert found.radiation.wavelengths_A == LINES[:1]
    assert found.remarks == ("K-alpha2 was removed",)


def test_noise_grows_as_the_series_says() -> None:
    counts = np.random.default_rng(0).poisson(1000, len(X)).astype(float)
    found = without_alpha2(Scan(X, counts, "counts", radiation=DOUBLET))
    high = X > 60  # where neighbouring terms are steps apart
    assert found.intensity[high].std() == pytest.approx(np.sqrt(1000 / (1 - 0.25)), rel=0.1)
    assert found.uncertainty[high].mean() == pytest.approx(np.sqrt(1000 / (1 - 0.25)), rel=0.02)


@pytest.mark.parametrize("radiation", [Radiation(), Radiation((1.54,)), Radiation(LINES), Radiation(LINES[::-1], 0.5)])
def test_scans_of_one_line_or_an_unknown_ratio_stay(radiation: Radiation) -> None:
    scan = Scan(X, pattern(LINES[0]), radiation=radiation)
    assert without_alpha2(scan) is scan
