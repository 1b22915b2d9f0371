"""Staging: what was read lies in batches whose manifest comes last."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogs.atomic_write import sha256_of
from catalogs.record import Record
from catalogs.selection import Excluded
from curation.table import iterate_rows, record_from_row
from datagen.config.fingerprint import differences
from datagen.errors import PlanError
from datagen.steps.staging import MANIFEST, Staged, Staging, discard_staged, read_staged
from tests.curation.cifs import record


def stage_records(records: Iterable[Record], folder: Path, fingerprint: dict[str, Any], **options: Any) -> Staged:
    with Staging(records, folder, fingerprint, **options) as staging:
        batches = tuple(batch for batch in staging if batch is not None)
    assert staging.staged is not None
    assert staging.staged.batches == batches
    return staging.staged


def all_records(staged: Staged) -> list[Record]:
    return [record_from_row(row) for batch in staged.batches for row in iterate_rows(staged.folder / batch.file)]


def test_records_come_back_in_order_and_the_manifest_tells_the_truth(tmp_path: Path) -> None:
    records = [record(f"{i} ü.cif", f"data_{i}") for i in range(25)]
    staged = stage_records(iter(records), tmp_path / "a b", {"x": 1}, batch_rows=10, excluded=Excluded(3, 1))
    assert read_staged(tmp_path / "a b") == staged
    assert all_records(staged) == records
    assert staged.n_records == 25
    assert [batch.rows for batch in staged.batches] == [10, 10, 5]
    assert all(sha256_of(staged.folder / batch.file) == batch.sha256 for batch in staged.batches)


def test_a_batch_is_there_while_later_records_are_read(tmp_path: Path) -> None:
    first_taken = threading.Event()

    def records() -> Iterator[Record]:
        for i in range(50):
            if i == 11:
                assert first_taken.wait(60)
            yield record(str(i), "data_x")

    with Staging(records(), tmp_path, {}, batch_rows=10) as staging:
        batches = (batch for batch in staging if batch is not None)
        assert (tmp_path / next(batches).file).exists()
        assert read_staged(tmp_path) is None
        first_taken.set()
        assert len(list(batches)) == 4
    assert read_staged(tmp_path) == staging.staged


def test_a_reading_that_is_not_wanted_any_more_stops(tmp_path: Path) -> None:
    def endless() -> Iterator[Record]:
        i = 0
        while True:
            yield record(str(i := i + 1), "data_x")

    with Staging(endless(), tmp_path, {}, batch_rows=10) as staging:
        next(iter(staging))
    assert not staging._thread.is_alive()
    assert read_staged(tmp_path) is None


def test_whoever_waits_for_a_slow_source_can_look_at_other_things(tmp_path: Path) -> None:
    go_on = threading.Event()

    def records() -> Iterator[Record]:
        assert go_on.wait(60)
        yield record("1", "data_x")

    with Staging(records(), tmp_path, {}) as staging:
        batches = iter(staging)
        assert next(batches) is None
        go_on.set()
        assert [batch.rows for batch in batches if batch is not None] == [1]


def test_a_source_is_closed_by_the_thread_that_read_it(tmp_path: Path) -> None:
    closed_by: list[str] = []

    def records() -> Iterator[Record]:
        try:
            for i in range(10_000_000):
                yield record(str(i), "data_x")
        finally:
            closed_by.append(threading.current_thread().name)

    source = records()
    with Staging(source, tmp_path, {}, batch_rows=10) as staging:
        next(iter(staging))
    assert closed_by == ["read catalogs"]


def test_batches_are_bounded_by_bytes_too(tmp_path: Path) -> None:
    records = [record(str(i), "x" * size) for i, size in enumerate([10, 10, 500, 10, 60, 60])]
    staged = stage_records(records, tmp_path, {}, batch_bytes=100)
    assert [batch.rows for batch in staged.batches] == [2, 1, 2, 1]
    assert all_records(staged) == records


def test_batches_grow_with_the_input_and_not_beyond_measure(tmp_path: Path) -> None:
    rows = [batch.rows for batch in stage_records((record(str(i), "") for i in range(50_000)), tmp_path, {}).batches]
    assert rows[:60] == [32] * 60
    assert rows[:-1] == sorted(rows[:-1])
    assert max(rows) <= 512
    assert len(rows) < 500


def test_nothing_staged_is_no_batch_and_a_manifest(tmp_path: Path) -> None:
    assert stage_records([], tmp_path, {}).batches == ()
    assert read_staged(tmp_path) is not None


def test_an_interrupted_reading_counts_for_nothing_and_is_begun_anew(tmp_path: Path) -> None:
    def breaks_off() -> Iterator[Record]:
        yield from (record(str(i), "old") for i in range(35))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage_records(breaks_off(), tmp_path, {}, batch_rows=10)
    assert read_staged(tmp_path) is None
    records = [record(str(i), "new") for i in range(5)]
    staged = stage_records(records, tmp_path, {}, batch_rows=10)
    assert all_records(staged) == records
    assert sorted(p.name for p in tmp_path.iterdir()) == ["records-000000.parquet", MANIFEST]


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    stage_records([record("a")], tmp_path, {})
    (tmp_path / ".records-000001.parquet.99-ab.tmp").touch()
    discard_staged(tmp_path)
    discard_staged(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "fingerprint": {}, "batches": [{"file": "x"}]}'])
def test_a_damaged_manifest_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(PlanError, match="delete"):
        read_staged(tmp_path)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"format": 99}')
    with pytest.raises(PlanError, match="format 99"):
        read_staged(tmp_path)


def test_memory_does_not_grow_with_the_number_of_records(tmp_path: Path) -> None:
    def peak(n_records: int) -> int:
        stream = (record(str(i), f"data_{i} " + "x" * 10_000) for i in range(n_records))
        tracemalloc.start()
        stage_records(stream, tmp_path / str(n_records), {}, batch_rows=50)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(60)
    assert peak(1500) < 1.5 * peak(150)


def test_a_change_is_told_with_its_place_and_both_values() -> None:
    then = {"curation": {"seed": 0, "symprec_A": [0.01, 0.1]}, "catalog": [{"name": "a"}], "gone": 1}
    now = {"curation": {"seed": 1, "symprec_A": [0.01, 0.2]}, "catalog": [{"name": "a"}, {"name": "b"}], "new": None}
    assert differences(then, now) == [
        "curation.seed: was 0, now 1",
        "curation.symprec_A[1]: was 0.1, now 0.2",
        'catalog: was [{"name": "a"}], now [{"name": "a"}, {"name": "b"}]',
        "gone: was 1, now not set",
        "new: was not set, now null",
    ]
    assert differences(now, now) == []
