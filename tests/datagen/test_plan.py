from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datagen.steps.shards import LARGEST_SHARD, SMALLEST_SHARD, cut_shards, fill_holes, first_of_each, shard_length


@st.composite
def quarantines(draw: st.DrawFn) -> tuple[int, set[int]]:
    n = draw(st.integers(1, 60))
    return n, draw(st.sets(st.integers(0, n - 1)))


@given(quarantines())
def test_every_good_structure_gets_exactly_one_row_and_no_quarantined_one_does(case: tuple[int, set[int]]) -> None:
    n, quarantined = case
    assert sorted(fill_holes(range(n), quarantined)) == sorted(set(range(n)) - quarantined)


@given(quarantines())
def test_a_quarantine_moves_no_more_structures_than_it_has_members(case: tuple[int, set[int]]) -> None:
    n, quarantined = case
    order = fill_holes(range(n), quarantined)
    assert sum(row != member for row, member in enumerate(order)) <= len(quarantined)


def test_one_quarantined_structure_changes_its_own_shard_and_the_last_one_only() -> None:
    hashes = [f"{i:032x}" for i in range(50)]
    before = cut_shards(fill_holes(range(50), []), hashes, 10, "settings")
    after = cut_shards(fill_holes(range(50), [23]), hashes, 10, "settings")
    assert [a.key == b.key for a, b in zip(before, after, strict=True)] == [True, True, False, True, False]


@given(st.integers(0, 500), st.integers(1, 40))
def test_shards_cover_all_rows_once_in_order(n: int, length: int) -> None:
    shards = cut_shards(range(n), [str(i) for i in range(n)], length, "settings")
    assert [m for shard in shards for m in shard.members] == list(range(n))
    assert [shard.first_row for shard in shards] == list(range(0, n, length))
    assert len({shard.key for shard in shards}) == len(shards)


def test_a_shard_key_follows_the_settings() -> None:
    assert cut_shards([0], ["a"], 8, "one")[0].key != cut_shards([0], ["a"], 8, "two")[0].key


@given(st.integers(0, 10**6))
def test_shard_length_stays_in_bounds_unless_asked(n: int) -> None:
    assert SMALLEST_SHARD <= shard_length(n, None) <= LARGEST_SHARD
    assert shard_length(n, 7) == 7


def test_duplicates_point_at_the_first_of_their_kind() -> None:
    assert first_of_each(["a", "b", "a", "c", "b"], [False] * 5) == [0, 1, 0, 3, 1]


def test_the_first_with_a_density_stands_for_all() -> None:
    assert first_of_each(["a", "a", "a", "b"], [False, True, True, False]) == [1, 1, 1, 3]
    assert first_of_each(["a", "a"], [True, False]) == [0, 0]
