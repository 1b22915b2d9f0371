"""Scans brought to an instrument: angles by Bragg's law, averages, polarisation, and what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.scans.bring import Grid, bring, missing_range, polarisation_of_tube, polarisation_ratio, snip
from trainer.scans.scan import Radiation, Scan, ScanError
from trainer.simulate.log_q import scan_on_grid
from trainer.simulate.resample import average_onto, bragg, covered

CU, SYNCHROTRON = 1.5405929, 0.619921
MODEL = Grid(5.0, 20.0, 8192, SYNCHROTRON, 0.99)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(1.0, 20.0), st.floats(0.3, 1.9), st.floats(0.3, 1.9))
def test_braggs_law_keeps_spacings_and_comes_back(d: float, a: float, b: float) -> None:
    angle = np.array([2 * np.degrees(np.arcsin(a / 2 / d))])
    there = bragg(angle, a, b)
    np.testing.assert_allclose(there, 2 * np.degrees(np.arcsin(b / 2 / d)))
    np.testing.assert_allclose(bragg(there, b, a), angle)


def test_angles_beyond_reach_are_not_numbers() -> None:
    assert np.isnan(bragg(np.array([150.0]), 0.7, 2.2)).all()


def test_finer_scans_are_averaged_not_sampled() -> None:
    x = np.arange(5, 20.0001, 0.0005)
    y = np.random.default_rng(0).poisson(100, len(x)).astype(float)
    grid = Grid(6, 19, 1301, CU)  # 20 points in each step
    found = bring(Scan.from_arrays(x, y, CU), grid)
    assert found.intensity.std() == pytest.approx(10 / np.sqrt(20), rel=0.1)
    assert found.sigma.mean() == pytest.approx(10 / np.sqrt(20), rel=0.05)
    assert found.measured.all()


def test_the_area_is_kept_whatever_the_steps() -> None:
    x = np.linspace(9, 11, 2001) + 0.3e-3 * np.sin(np.arange(2001))
    y = np.exp(-0.5 * ((x - 10) / 0.03) ** 2)
    for n in (60, 61, 200, 5000):
        grid = np.linspace(9.5, 10.5, n)
        found, points = average_onto(grid, x, y)
        assert found.sum() * (grid[1] - grid[0]) == pytest.approx(0.03 * np.sqrt(2 * np.pi), rel=1e-4)
        assert points.mean() == pytest.approx(1000 / (n - 1), rel=1e-3)


def test_coarser_scans_are_interpolated() -> None:
    x = np.arange(5, 20.0001, 0.05)
    found, points = average_onto(np.linspace(6, 19, 5000), x, 3 * x)
    np.testing.assert_allclose(found, 3 * np.linspace(6, 19, 5000), rtol=1e-9)
    assert points.max() < 1


def test_the_mask_leaves_out_what_was_not_measured() -> None:
    x = np.concatenate([np.arange(6, 9, 0.02), np.arange(10, 15, 0.02)])
    grid = np.linspace(5, 20, 1501)
    wanted = ((grid > 5.98) & (grid < 9.0)) | ((grid > 9.99) & (grid < 15.0))
    assert np.count_nonzero(covered(grid, x) != wanted) <= 4
    found = bring(Scan(x, 1 + np.sin(x) ** 2, radiation=Radiation((CU,))), Grid(5, 20, 1501, CU))
    assert np.count_nonzero(found.measured != covered(grid, x)) <= 2
    assert (found.intensity[~found.measured] == 0).all()
    assert (found.intensity[found.measured] >= 0.99).all()


def powder(wavelength_A: float, factor: np.ndarray, x: np.ndarray, spacings: np.ndarray, width: float) -> np.ndarray:
    """Lines of equal structure factor: area Lorentz times polarisation, width in spacing."""
    y = np.zeros_like(x)
    for d in spacings:
        theta = np.arcsin(wavelength_A / 2 / d)
        at, sigma = np.degrees(2 * theta), np.degrees(2 * width * np.tan(theta))
        area = np.interp(at, x, factor) / (np.sin(theta) ** 2 * np.cos(theta))
        y += area / sigma * np.exp(-0.5 * ((x - at) / sigma) ** 2)
    return y


def test_laboratory_intensities_get_the_polarisation_of_the_model() -> None:
    """The Lorentz factor needs none: it changes as the widths of peaks do."""
    spacings = np.array([4.0, 3.0, 2.4, 2.05, 1.9])
    x = np.arange(12, 60, 0.01)
    for monochromator in (None, "graphite"):
        factor = polarisation_of_tube(x, CU, monochromator)
        measured = powder(CU, factor, x, spacings, 0.002)
        scan = Scan(x, measured, radiation=Radiation((CU,), None, "Cu", monochromator))
        grid = MODEL.two_theta_deg
        wanted = powder(SYNCHROTRON, 0.01 * np.cos(np.radians(grid)) ** 2 + 0.99, grid, spacings, 0.002)
        found = bring(scan, MODEL).intensity
        np.testing.assert_allclose(found / found.max(), wanted / wanted.max(), atol=0.004)
        left = bring(scan, MODEL, polarise=False).intensity
        assert np.abs(left / left.max() - wanted / wanted.max()).max() > 0.02


def test_a_synchrotron_scan_keeps_its_intensities() -> None:
    x = np.arange(2, 20, 0.002)
    scan = Scan(x, 100 + np.sin(x), radiation=Radiation((0.413529,)))
    polarised = bring(scan, MODEL).intensity
    np.testing.assert_allclose(polarised, bring(scan, MODEL, polarise=False).intensity, rtol=0.002)


def test_a_network_of_tube_patterns_sees_the_same_of_a_synchrotron() -> None:
    spacings = np.array([4.0, 3.0, 2.4, 2.05, 1.5, 1.2])
    seen = []
    for wavelength, anode in ((CU, "Cu"), (0.413529, None)):
        x = bragg(np.arange(10, 88, 0.01), CU, wavelength)
        factor = polarisation_of_tube(x, wavelength, None) if anode else np.ones_like(x)
        scan = Scan(x, powder(wavelength, factor, x, spacings, 0.003), radiation=Radiation((wavelength,), None, anode))
        found = scan_on_grid(x, scan.intensity * polarisation_ratio(scan, wavelength, CU, 0.5), wavelength)
        assert found is not None
        seen.append(found[0] / found[0].max())
    assert float((seen[0] - seen[1]).abs().max()) < 0.01


def test_a_stated_wavelength_is_replaced_by_a_given_one() -> None:
    x = np.arange(10, 60, 0.02)
    scan = Scan(x, 1000 * np.exp(-0.5 * ((x - 30) / 0.1) ** 2), radiation=Radiation((CU,)))
    wide = Grid(5.0, 60.0, 5501, CU)
    assert wide.two_theta_deg[bring(scan, wide).intensity.argmax()] == pytest.approx(30, abs=0.01)
    found = wide.two_theta_deg[bring(scan, wide, 1.0).intensity.argmax()]
    assert found == pytest.approx(float(bragg(np.array([30.0]), 1.0, CU)[0]), abs=0.02)


def test_scans_that_cannot_be_brought_are_refused() -> None:
    x = np.arange(120, 160, 0.02)
    with pytest.raises(ScanError, match="states no wavelength"):
        bring(Scan(x, np.sin(x)), MODEL)
    with pytest.raises(ScanError, match="within reach"):
        bring(Scan(x, np.sin(x)), Grid(5, 20, 100, 2.3), 0.7)


def test_missing_ranges_are_found() -> None:
    x = np.concatenate([np.arange(5, 9, 0.02), np.arange(10, 15, 0.02)])
    assert missing_range(x, 6, 8, 0.1) is None
    assert missing_range(x, 6, 12, 0.1) == pytest.approx((8.98, 10.0))
    assert missing_range(x, 2, 8, 0.1) == pytest.approx((2, 5))
    assert missing_range(x, 11, 20, 0.1) == pytest.approx((14.98, 20))
    assert missing_range(x[:0], 11, 20, 0.1) == (11, 20)


def test_a_smooth_background_is_found_also_below_zero() -> None:
    x = np.linspace(5, 20, 8192)
    peaks = sum(1000 * np.exp(-0.5 * ((x - p) / 0.03) ** 2) for p in (7, 9, 9.2, 14))
    for offset in (50, -200):
        pattern = peaks + 300 * np.exp(-x / 6) + offset
        assert np.abs(pattern - snip(pattern, 200) - peaks).max() < 20
