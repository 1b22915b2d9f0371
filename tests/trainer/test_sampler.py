"""The order of an epoch: complete, without repetition, reproducible, resumable, shared out among processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.sampler import Sampler, balancing_weights


def samples(sampler: Sampler, epoch: int, start: int = 0) -> list[list[tuple[int, int]]]:
    """Batches as (row, slot)."""
    return [
        [(int(pool.rows[i]), int(slot)) for i, slot in batch]
        for pool in sampler.pools(epoch, start)
        for batch in pool.batches
    ]


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    batch=st.integers(1, 16),
    slots=st.integers(1, 6),
    pool=st.integers(1, 40),
    epoch=st.integers(0, 3),
    data=st.data(),
)
def test_an_epoch_takes_every_sample_at_most_once_and_leaves_less_than_a_batch(
    n: int, batch: int, slots: int, pool: int, epoch: int, data: st.DataObject
) -> None:
    taken = data.draw(st.integers(1, slots))
    sampler = Sampler(np.arange(n) + 7, batch, taken, slots, pool)
    batches = samples(sampler, epoch)
    flat = [s for b in batches for s in b]
    assert len(batches) == sampler.batches_per_epoch
    assert len(set(flat)) == len(flat)
    assert n * taken - len(flat) < batch
    assert all(len(b) == batch for b in batches) or len(batches) == 1


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 50), batch=st.integers(1, 9), pool=st.integers(1, 20), start=st.integers(0, 60))
def test_starting_later_gives_the_rest_of_the_same_epoch(n: int, batch: int, pool: int, start: int) -> None:
    sampler = Sampler(np.arange(n), batch, 2, 3, pool)
    assert samples(sampler, 1, start) == samples(sampler, 1)[start:]


def test_epochs_and_seeds_differ_and_repeat() -> None:
    one, two = Sampler(np.arange(50), 5, seed=1), Sampler(np.arange(50), 5, seed=2)
    assert samples(one, 0) == samples(Sampler(np.arange(50), 5, seed=1), 0)
    assert samples(one, 0) != samples(one, 1)
    assert samples(one, 0) != samples(two, 0)


def test_batches_mix_structures_of_distant_shards() -> None:
    sampler = Sampler(np.arange(10_000), 64, 10, 10, pool_structures=256)
    first = samples(sampler, 0)[0]
    rows = {row for row, _ in first}
    assert len(rows) > 48
    assert max(rows) - min(rows) > 7000


def test_memory_is_bounded_by_the_pool() -> None:
    sampler = Sampler(np.arange(10_000), 64, 3, 10, pool_structures=256)
    sizes = {len(pool.rows) for pool in sampler.pools(0)}
    assert max(sizes) == sampler.structures_per_pool == 256


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_structures_without_overlap_and_keep_in_step(world: int) -> None:
    parts = [Sampler(np.arange(50), 4, rank=rank, world=world) for rank in range(world)]
    rows = [[row for batch in samples(part, 2) for row, _ in batch] for part in parts]
    assert len({len(r) for r in rows}) == 1
    assert len(set().union(*rows)) == sum(len(r) for r in rows)


def test_evaluation_reads_every_sample_in_order_over_all_processes() -> None:
    parts = [Sampler(np.arange(11), 4, 2, 2, rank=rank, world=2, shuffle=False) for rank in range(2)]
    read = [s for part in parts for batch in samples(part, 0) for s in batch]
    assert sorted(read) == [(row, slot) for row in range(11) for slot in range(2)]


def test_balanced_classes_are_drawn_equally_often() -> None:
    classes = np.repeat([0, 1, 2], [900, 90, 10])
    sampler = Sampler(np.arange(1000), 50, weights=balancing_weights(classes))
    drawn = np.concatenate([classes[[row for row, _ in b]] for e in range(20) for b in samples(sampler, e)])
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), 1 / 3, atol=0.02)


def test_more_samples_than_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="without repetition"):
        Sampler(np.arange(3), 2, samples=4, slots=3)
