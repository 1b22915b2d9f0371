"""Random numbers that belong to an augmentation, not to a worker or a library version."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.simulate.rng import _philox, uniforms


@pytest.mark.parametrize("key", [(0, 0), (2**63 + 7, 12345), (2**64 - 1, 2**64 - 1)])
@pytest.mark.parametrize("index", [1, 37, 2**40])
def test_the_generator_is_the_philox_of_numpy(key: tuple[int, int], index: int) -> None:
    """numpy counts up before it generates, hence the counter one below (0, index, 0, 0)."""
    words = np.empty((1, 64), dtype=np.uint64)
    _philox(np.uint64(key[0]), np.uint64(key[1]), np.array([index], dtype=np.uint64), words)
    counter = np.array([2**64 - 1, index - 1, 0, 0], dtype=np.uint64)
    theirs = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=counter)
    np.testing.assert_array_equal(words[0], theirs.random_raw(64))


def test_the_first_numbers_never_change() -> None:
    """Datasets are reproduced from their seeds: these values are part of the format."""
    found = uniforms(1, "ab", np.array([0, 37]), 3)
    expected = [[0.50441235, 0.06515621, 0.51551461], [0.12779222, 0.59355075, 0.86149765]]
    np.testing.assert_allclose(found, expected, atol=5e-9)


def test_more_slots_leave_the_first_ones_as_they_were() -> None:
    index = np.arange(5)
    np.testing.assert_array_equal(uniforms(3, "x", index, 40)[:, :7], uniforms(3, "x", index, 7))


def test_seed_structure_and_index_each_matter() -> None:
    index = np.array([0, 1])
    rows = [*uniforms(0, "a", index, 4), *uniforms(1, "a", index, 4), *uniforms(0, "b", index, 4)]
    assert len({tuple(row) for row in rows}) == 6


def test_numbers_are_uniform_in_the_unit_interval() -> None:
    u = uniforms(7, "many", np.arange(5000), 4)
    assert u.min() >= 0
    assert u.max() < 1
    counts, _ = np.histogram(u, bins=10, range=(0, 1))
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.05
