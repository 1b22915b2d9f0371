"""Cells are found again from their lines, near a wrong one, beside foreign lines and a zero shift."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainer.cells.test_conventional import CELLS
from trainer.prediction.cells import conventional as c
from trainer.prediction.cells.line_odds import ZEROS_RAD, fitted, line_odds, zero_slope
from trainer.prediction.cells.search import FEWEST_PEAKS, search, spacings
from trainer.prediction.cells.starts import starts
from trainer.scans.peaks import Peaks, find_peaks
from trainer.simulate.axis import LN_Q_STEP, N_BINS, Q_MIN
from trainer.training.bravais import BRAVAIS

SEARCHED = [lattice for lattice in BRAVAIS if lattice != "aP"]
ZERO_RAD = 0.0004
LN_Q_LAST = np.log(3.5)


def values_of(lattice: str, scale: float = 1.0) -> np.ndarray:
    cell = np.array([CELLS[lattice[0]]])
    cell[:, :3] *= scale
    return c.free_numbers(lattice, np.linalg.inv(c.metrics_of(cell)[0]))


def peaks_of(lattice: str, seed: int = 0, zero_rad: float = 0.0, foreign: int = 0) -> Peaks:
    """Return 20 low lines of a cell, every fifth left out, with the errors of a bin and some foreign lines."""
    generator = np.random.default_rng(seed)
    _, at = spacings(lattice, values_of(lattice), LN_Q_LAST)
    at = at[np.arange(len(at)) % 5 != 3][:20]
    at = np.concatenate([at, generator.uniform(at[0], at[-1], foreign)])
    at = np.sort(at + 0.0005 * generator.standard_normal(len(at)))
    return Peaks(at + zero_rad * zero_slope(at), np.ones(len(at)))


@pytest.mark.parametrize("lattice", SEARCHED)
def test_a_cell_is_found_near_a_wrong_one(lattice: str) -> None:
    values = values_of(lattice)
    wanted = c.niggli_cell(lattice, values)
    wrong = wanted * np.array([1.08, 0.94, 1.06, 1, 1, 1])
    found = search(lattice, wrong, peaks_of(lattice, zero_rad=ZERO_RAD, foreign=1), np.random.default_rng(0))
    assert found is not None
    np.testing.assert_allclose(np.sort(found.niggli[:3]), np.sort(wanted[:3]), rtol=0.005)
    assert found.odds > 5


def test_a_wrong_lattice_has_lower_odds() -> None:
    peaks, generator = peaks_of("oP"), np.random.default_rng(0)
    niggli = c.niggli_cell("oP", values_of("oP"))
    right, wrong = (search(lattice, niggli, peaks, generator) for lattice in ("oP", "tP"))
    assert right is not None
    assert wrong is not None
    assert right.odds > wrong.odds + 10


def test_too_few_peaks_and_triclinic_lattices_are_not_searched() -> None:
    generator, peaks = np.random.default_rng(0), peaks_of("oP")
    few = Peaks(peaks.ln_q[: FEWEST_PEAKS - 1], peaks.weight[: FEWEST_PEAKS - 1])
    niggli = c.niggli_cell("oP", values_of("oP"))
    assert search("oP", niggli, few, generator) is None
    assert search("aP", niggli, peaks, generator) is None
    assert search("oP", niggli, peaks, generator) is not None


@pytest.mark.parametrize("lattice", SEARCHED)
@pytest.mark.parametrize("place", [(0, np.nan), (2, np.inf), (1, 0.0), (2, 1e6), (4, np.nan)])
def test_a_prediction_that_is_no_cell_is_not_searched(lattice: str, place: tuple[int, float]) -> None:
    niggli = c.niggli_cell("oP", values_of("oP"))
    niggli[place[0]] = place[1]
    assert search(lattice, niggli, peaks_of("oP"), np.random.default_rng(0)) is None


@pytest.mark.parametrize("lattice", SEARCHED)
def test_any_predicted_cell_ends_in_a_cell_or_none(lattice: str) -> None:
    """Networks that learned nothing predict shapes that no lattice has."""
    for niggli in ([1.6, 140.0, 140.0, 170.0, 170.0, 170.0], [3.0, 3.0, 90.0, 20.0, 20.0, 20.0]):
        found = search(lattice, np.array(niggli), peaks_of("oP"), np.random.default_rng(0))
        assert found is None or np.isfinite(found.niggli).all()


@pytest.mark.parametrize("lattice", SEARCHED)
def test_one_start_resembles_the_cell(lattice: str) -> None:
    """The search goes far enough from it: each axis by a factor of 1.6."""
    wanted = c.niggli_cell(lattice, values_of(lattice, 1.7))
    some = starts(lattice, wanted)
    assert 1 <= len(some) <= 8
    off = [np.abs(np.log(c.niggli_cell(lattice, one)[:3] / wanted[:3])).max() for one in some]
    assert min(off) < 0.2
    assert all((c.are_cells(lattice, one[None])).all() for one in some)


def test_odds_fall_with_the_number_of_lines_and_rise_with_peaks_on_them() -> None:
    """A cell of twice the axis has every line of the smaller one, and many that explain nothing."""
    peaks = peaks_of("cP")
    small, large = values_of("cP"), values_of("cP", 2.0)
    found = [
        float(line_odds(spacings("cP", cell, LN_Q_LAST)[0], cell[None], peaks, np.zeros(1))[0][0])
        for cell in (small, large, 1.03 * small)
    ]
    assert found[0] > found[1] > found[2]


def test_a_zero_shift_is_found() -> None:
    peaks, cell = peaks_of("oP", zero_rad=0.0012), values_of("oP")
    terms = spacings("oP", cell, LN_Q_LAST)[0]
    assert line_odds(terms, cell[None], peaks, ZEROS_RAD)[1][0] == pytest.approx(0.0012)
    moved, zero = fitted(terms, cell * 1.001, peaks)
    assert zero == pytest.approx(0.0012, abs=0.0003)
    np.testing.assert_allclose(moved, cell, rtol=1e-3)


def test_peaks_are_found_between_bins() -> None:
    place = np.arange(N_BINS)
    wanted = np.array([310.3, 702.7, 1300.0])
    intensity = sum(h * np.exp(-0.5 * ((place - at) / 3) ** 2) for h, at in zip((1, 0.3, 0.05), wanted, strict=True))
    measured = np.ones(N_BINS, dtype=bool)
    found = find_peaks(np.asarray(intensity), measured)
    np.testing.assert_allclose((found.ln_q - np.log(Q_MIN)) / LN_Q_STEP - 0.5, wanted, atol=0.1)
    assert found.weight.mean() == pytest.approx(1.0)
    assert len(find_peaks(np.asarray(intensity), measured, most=2)) == 2
    measured[:1000] = False
    assert len(find_peaks(np.where(measured, intensity, 0.0), measured)) == 1
    assert len(find_peaks(np.zeros(N_BINS), measured)) == 0
    assert len(find_peaks(np.zeros(N_BINS), np.zeros(N_BINS, dtype=bool))) == 0
