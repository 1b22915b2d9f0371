"""The axis ln q: what of it a scan measured, gaps between joined ranges included."""

from __future__ import annotations

import numpy as np

from datagen.identification import lines
from datagen.identification.axis import observe
from trainer.simulate.axis import LN_Q_MIN, N_BINS
from trainer.simulate.axis import LN_Q_STEP as STEP

CU_A = 1.5405929
ANGLE_DEG = np.concatenate([np.arange(10.0, 30.0, 0.02), np.arange(50.0, 90.0, 0.02)])


def joined(background: float) -> np.ndarray:
    """A scan of two ranges: a peak in each, the second range on another background."""
    peaks = sum(1000.0 * np.exp(-0.5 * ((ANGLE_DEG - at) / 0.05) ** 2) for at in (20.0, 29.0, 52.0, 70.0))
    return peaks + np.where(ANGLE_DEG < 40, 100.0, background)


def two_theta_deg() -> np.ndarray:
    q = np.exp(LN_Q_MIN + STEP * (np.arange(N_BINS) + 0.5))
    return 2 * np.degrees(np.arcsin(q * CU_A / (4 * np.pi)))


def test_a_gap_of_a_joined_scan_was_not_measured() -> None:
    scan = observe(ANGLE_DEG, joined(100.0), CU_A)
    angle = two_theta_deg()
    inside = ((angle > 10.1) & (angle < 29.9)) | ((angle > 50.1) & (angle < 89.9))
    assert scan.measured[inside].all()
    assert not scan.measured[(angle > 30.1) & (angle < 49.9)].any()
    assert not scan.intensity[~scan.measured].any()
    whole = observe(np.arange(10.0, 90.0, 0.02), np.arange(4000.0) % 100, CU_A)
    assert scan.covered < whole.covered - 0.15


def test_the_background_of_each_range_is_its_own() -> None:
    """A step of the background at the gap leaves nothing beside the peaks."""
    scan = observe(ANGLE_DEG, joined(900.0), CU_A)
    angle = two_theta_deg()
    away = scan.measured & np.all([np.abs(angle - at) > 0.5 for at in (20.0, 29.0, 52.0, 70.0)], axis=0)
    assert scan.intensity[away].max() < 0.02
    at, _ = lines.peaks(scan)
    found = 2 * np.degrees(np.arcsin(np.exp(at) * CU_A / (4 * np.pi)))
    np.testing.assert_allclose(found, [20.0, 29.0, 52.0, 70.0], atol=0.05)


def test_a_coarse_scan_has_no_gaps() -> None:
    angle = np.arange(10.0, 90.0, 0.2)
    assert observe(angle, 1 + np.sin(angle) ** 2, CU_A).measured.sum() > 1200


def test_a_cell_with_too_many_lines_has_an_unknown_share_and_none_to_plot() -> None:
    scan = observe(ANGLE_DEG, joined(100.0), CU_A)
    at, weight = lines.peaks(scan)
    large, small = np.eye(3) / 60.0, np.eye(3) / 5.4
    assert lines.on_lines(scan, at, large, 0.0) is None
    assert lines.explained(scan, at, weight, large, 0.0) is None
    assert not len(lines.two_theta_deg(large, CU_A, 0.0))
    assert lines.log_odds(scan, at, weight, [large, [small, large]]).tolist() == [-1e3, -1e3]
    assert lines.explained(scan, at, weight, small, 0.0) is not None
    assert len(lines.two_theta_deg(small, CU_A, 0.0)) > 10
