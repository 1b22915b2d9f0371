"""Parquet tables: everything comes back as it went in, and says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogs.atomic_write import replacing, sweep
from catalogs.record import Defect, DensityRef, Record
from curation.curate import curate_record
from curation.settings import CurationSettings
from curation.table import (
    VERDICT_COLUMNS,
    VERDICT_SCHEMA,
    concatenate,
    iterate_rows,
    read_metadata,
    read_verdicts,
    record_from_row,
    record_to_row,
    write_records,
    write_verdicts,
)
from curation.verdict import COLUMNS, Verdict
from tests.curation.cifs import record, rock_salt

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS = st.builds(
    Record,
    source=TEXTS,
    source_id=TEXTS,
    text=TEXTS,
    origin=TEXTS,
    licence=TEXTS,
    density=st.none()
    | st.builds(
        DensityRef, st.just(Path("a b/ü.cube")), st.sampled_from(["chgcar", "cube", "mp_json"]), st.none() | TEXTS
    ),
    source_metadata=st.dictionaries(TEXTS, TEXTS, max_size=3),
    defect=st.none() | st.builds(Defect, TEXTS, TEXTS),
)


@given(records=st.lists(RECORDS, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_staged_record_comes_back_unchanged(records: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    write_records([record_to_row(r) for r in records], path)
    assert [record_from_row(row) for row in iterate_rows(path)] == records


@given(RECORDS)
@settings(max_examples=40, deadline=None)
def test_a_staged_record_survives_json(one: Record) -> None:
    assert record_from_row(json.loads(json.dumps(record_to_row(one)))) == one


def test_text_that_utf8_cannot_hold_is_written_out_as_an_escape() -> None:
    odd = record("caf\udce9.cif")
    assert record_to_row(odd)["source_id"] == r"caf\udce9.cif"


def test_a_verdict_comes_back_unchanged(tmp_path: Path) -> None:
    verdicts = [
        curate_record(record("good"), CurationSettings()),
        curate_record(record("bad", "data_x\n"), CurationSettings()),
        Verdict.refusal(record("worse"), "timeout", "no answer within 60 s", seconds=60.0),
    ]
    path = tmp_path / "verdicts.parquet"
    write_verdicts([v.to_row() for v in verdicts], path, {"about": "salt"})
    assert list(read_verdicts(path)) == verdicts
    assert verdicts[0].accepted
    assert read_metadata(path) == {"about": "salt"}


def test_the_table_has_the_columns_of_a_verdict_each_described() -> None:
    assert tuple(VERDICT_COLUMNS) == COLUMNS
    assert all(field.metadata[b"description"] for field in VERDICT_SCHEMA)
    assert VERDICT_SCHEMA.field("volume").metadata[b"units"] == b"angstrom^3"


def test_tables_are_joined_in_the_order_given(tmp_path: Path) -> None:
    parts = []
    for name in ("b", "a", "c"):
        parts.append(tmp_path / f"{name}.parquet")
        row = Verdict.refusal(record(name, rock_salt()), "empty", "").to_row()
        write_verdicts([row], parts[-1], {"part": name})
    concatenate(parts, tmp_path / "all.parquet", VERDICT_SCHEMA.with_metadata({"whole": "yes"}))
    assert [v.source_id for v in read_verdicts(tmp_path / "all.parquet")] == ["b", "a", "c"]
    assert read_metadata(tmp_path / "all.parquet") == {"whole": "yes"}


def test_no_table_at_all_is_a_table_without_rows(tmp_path: Path) -> None:
    concatenate([], tmp_path / "none.parquet", VERDICT_SCHEMA)
    assert pq.read_table(tmp_path / "none.parquet").schema.names == list(COLUMNS)


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file with space"
    path.write_text("old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".table.parquet.123-abc.tmp").write_text("half")
    (tmp_path / "table.parquet").write_text("whole")
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["table.parquet"]
