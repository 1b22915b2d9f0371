"""Scaled crystals against Bragg's law worked out from their cells."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.sources import PatternBatch, StickBatch
from trainer.simulate.broaden import Members, Sticks
from trainer.training.strain import Strain

WAVELENGTH_A = 0.619921
STRAIN = Strain(0.1, 5.0, 20.0)
POINTS = 4001
GRID = np.linspace(5.0, 20.0, POINTS)
HKL = np.array([(1, 0, 0), (1, 1, 0), (1, 1, 1), (0, 0, 1), (1, 0, 1), (2, 1, 0), (2, 1, 2)])


def bragg(cell: tuple[float, float, float]) -> NDArray[np.float64]:
    """2theta of HKL in an orthorhombic cell."""
    d = 1 / np.sqrt(((HKL / np.array(cell)) ** 2).sum(axis=1))
    return np.degrees(2 * np.arcsin(WAVELENGTH_A / (2 * d)))


def labels(*cells: tuple[float, float, float]) -> dict[str, torch.Tensor]:
    n = len(cells)
    return {
        "crystal_system": torch.arange(n),
        "space_group": torch.arange(n),
        "lattice": torch.tensor([[*c, 90.0, 91.0, 92.0] for c in cells]),
        "row": torch.arange(n),
    }


def sticks_of(*cells: tuple[float, float, float]) -> StickBatch:
    two_theta = np.concatenate([bragg(c) for c in cells])
    owner = np.repeat(np.arange(len(cells)), len(HKL))
    area = np.tile(np.arange(len(HKL), 0, -1.0), len(cells))
    line = torch.zeros(len(owner), dtype=torch.uint8)
    made = Sticks(torch.tensor(two_theta), torch.tensor(area), line, torch.tensor(owner), len(cells))
    return StickBatch(**labels(*cells), sticks=made)


def peaks(centres: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    shape: NDArray[np.float64] = np.exp(-0.5 * ((GRID - centres[:, None]) / 0.03) ** 2)
    return heights @ shape


def test_scaled_sticks_lie_where_the_scaled_cells_have_them_and_labels_say_so() -> None:
    cells = (4.0, 5.0, 7.0), (3.0, 6.5, 6.9)
    factor = torch.tensor([1.07, 0.94], dtype=torch.float64)
    found = STRAIN.scaled(sticks_of(*cells), factor)
    assert isinstance(found, StickBatch)
    larger = [tuple(x * f for x in cell) for cell, f in zip(cells, factor.tolist(), strict=True)]
    expected = np.concatenate([bragg((a, b, c)) for a, b, c in larger])
    np.testing.assert_allclose(found.sticks.two_theta_deg, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.lattice[:, :3], larger, rtol=1e-6)
    assert found.lattice[:, 3:].tolist() == [[90.0, 91.0, 92.0]] * 2
    assert torch.equal(found.sticks.intensity, sticks_of(*cells).sticks.intensity)


def test_reflections_that_no_angle_reaches_lose_their_area() -> None:
    wide = np.degrees(2 * np.arcsin([0.375, 0.53, 0.65]))
    members = Members(
        torch.zeros(4, 3), torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0, 1, 2, 2]), torch.eye(3)[None]
    )
    made = Sticks(torch.tensor(wide), torch.ones(3), torch.zeros(3), torch.zeros(3), 1, members)
    found = STRAIN.scaled(StickBatch(**labels((2.0, 2.0, 2.0)), sticks=made), torch.tensor([0.6], dtype=torch.float64))
    assert isinstance(found, StickBatch)
    assert found.sticks.intensity.tolist() == [1.0, 1.0, 0.0]
    assert found.sticks.members is not None
    assert found.sticks.members.intensity.tolist() == [1.0, 2.0, 0.0, 0.0]
    torch.testing.assert_close(found.sticks.members.reciprocal_metric[0], torch.eye(3).double() / 0.36)
    second = math.degrees(2 * math.asin(0.53 / 0.6))
    np.testing.assert_allclose(found.sticks.two_theta_deg[1], second, rtol=0, atol=1e-12)
    assert torch.isfinite(found.sticks.two_theta_deg).all()


def test_scaled_patterns_have_their_peaks_where_the_scaled_cell_has_them() -> None:
    cell, factor = (4.0, 5.0, 7.0), 1.06
    before, after = bragg(cell), bragg((4.0 * factor, 5.0 * factor, 7.0 * factor))
    stored = torch.tensor(peaks(before, np.full(len(HKL), 8000.0))).to(torch.int16)
    batch = PatternBatch(**labels(cell, cell), pattern=torch.stack([stored, stored]))
    found = STRAIN.scaled(batch, torch.tensor([factor, 1.0], dtype=torch.float64))
    assert isinstance(found, PatternBatch)
    apart = [np.delete(abs(before - centre), k).min() > 0.3 for k, centre in enumerate(before)]
    inside = [k for k, centre in enumerate(before) if 5.2 < centre < 19.8 and apart[k]]
    assert len(inside) >= 4
    for k in inside:
        near = np.abs(GRID - after[k]) < 0.1
        values = found.pattern[0].numpy()[near]
        assert abs(GRID[near][values.argmax()] - after[k]) <= (GRID[1] - GRID[0])
        assert 0.98 * 8000 < values.max() <= 8000
    np.testing.assert_allclose(found.pattern[1], stored.float(), atol=0.05)


def test_nothing_is_made_up_beyond_the_measured_range() -> None:
    flat = PatternBatch(**labels((4.0, 5.0, 7.0), (4.0, 5.0, 7.0)), pattern=torch.full((2, POINTS), 100))
    found = STRAIN.scaled(flat, torch.tensor([1.05, 0.95], dtype=torch.float64)).pattern  # type: ignore[union-attr]
    last = math.degrees(2 * math.asin(math.sin(math.radians(10)) / 1.05))
    first = math.degrees(2 * math.asin(math.sin(math.radians(2.5)) / 0.95))
    np.testing.assert_allclose(found[0], np.where(last >= GRID, 100, 0), rtol=1e-6)
    np.testing.assert_allclose(found[1], np.where(first <= GRID, 100, 0), rtol=1e-6)


def test_a_crystal_is_not_scaled_so_far_that_its_highest_peak_leaves_the_range() -> None:
    cell = (1.95, 1.95, 1.95)  # its first reflection, the strongest, at 18.3 degrees, is the only one in range
    limit = math.sin(math.radians(bragg(cell)[0] / 2)) / math.sin(math.radians(10))
    sticks = sticks_of(cell)
    pattern = PatternBatch(**labels(cell), pattern=torch.tensor(peaks(bragg(cell)[:1], np.ones(1)))[None])
    for batch in (sticks, pattern):
        for asked, expected in ((0.8, limit), (0.95, 0.95), (1.1, 1.1)):
            found = STRAIN.within_range(batch, torch.tensor([asked], dtype=torch.float64))
            np.testing.assert_allclose(found, [expected], rtol=2e-4)
    none = Strain(0.1, 5.0, 10.0).within_range(sticks, torch.tensor([1.1], dtype=torch.float64))
    assert none.tolist() == [1.0]


def test_the_strongest_stick_is_looked_for_in_each_pattern_and_within_the_range() -> None:
    owner = torch.tensor([0, 0, 0, 1, 1])
    angles = torch.tensor([3.0, 6.0, 19.0, 7.0, 18.0], dtype=torch.float64)
    areas = torch.tensor([9.0, 1.0, 5.0, 5.0, 1.0])
    made = Sticks(angles, areas, torch.zeros(5), owner, 2)
    batch = StickBatch(**labels((4.0, 5.0, 7.0), (4.0, 5.0, 7.0)), sticks=made)
    found = STRAIN.within_range(batch, torch.tensor([0.5, 0.5], dtype=torch.float64))
    expected = [math.sin(math.radians(x / 2)) / math.sin(math.radians(10)) for x in (19.0, 7.0)]
    np.testing.assert_allclose(found, [expected[0], max(0.5, expected[1])])


def test_factors_are_log_uniform_within_their_bounds_and_repeat_with_the_generator() -> None:
    cells = [(4.0, 5.0, 7.0)] * 4000
    batch = sticks_of(*cells)
    found = STRAIN(batch, torch.Generator().manual_seed(1)).lattice[:, 0].double() / 4.0
    again = STRAIN(batch, torch.Generator().manual_seed(1)).lattice[:, 0].double() / 4.0
    assert torch.equal(found, again)
    u = found.log() / math.log(1.1)
    assert u.min() > -1.0001
    assert u.max() < 1.0001
    assert abs(u.mean()) < 0.05
    assert abs(u.std() - 1 / math.sqrt(3)) < 0.03
