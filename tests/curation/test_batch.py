"""A batch: every record gets its row, whatever becomes of the interpreter that judges it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalogs.atomic_write import sha256_of
from catalogs.record import Defect, Record
from curation import batch as batch_module
from curation.batch import Receipt, curate_batch, read_receipt
from curation.curate import curate_record
from curation.sandbox import Limits, Sandbox, SandboxFailure
from curation.settings import CurationSettings
from curation.table import read_verdicts, record_to_row, write_records
from tests.curation.cifs import record, rock_salt

SETTINGS = CurationSettings()
LIMITS = Limits(seconds=1.0, memory_GB=0.3)


def stage(path: Path, *records: Record) -> Path:
    write_records([record_to_row(r) for r in records], path)
    return path


def without_seconds(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in verdict.to_row().items() if k != "seconds"} for verdict in read_verdicts(path)]


def misbehave(what: str) -> Record:
    return record(what, rock_salt() + f"# misbehave: {what}\n")


def test_a_batch_gets_the_same_verdicts_as_its_records_one_by_one(tmp_path: Path) -> None:
    records = [record("a"), record("b", "data_x"), record("c", rock_salt(4.2, "Mg", "O"))]
    batch = stage(tmp_path / "batch.parquet", *records)
    receipt = curate_batch(batch, tmp_path / "out.parquet", SETTINGS, Limits())
    directly = [curate_record(r, SETTINGS).to_row() for r in records]
    assert without_seconds(tmp_path / "out.parquet") == [
        {k: v for k, v in row.items() if k != "seconds"} for row in directly
    ]
    assert receipt.counts == {"accepted": 2, directly[1]["reason"]: 1}


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory is watched through /proc")
def test_hanging_crashing_and_greedy_records_cost_themselves_only(tmp_path: Path) -> None:
    batch = stage(
        tmp_path / "batch.parquet",
        record("first"),
        misbehave("hang"),
        record("second"),
        misbehave("segfault"),
        misbehave("hog"),
        misbehave("exit"),
        misbehave("raise"),
        record("last"),
    )
    with Sandbox("tests.curation.misbehaving:curator", SETTINGS.model_dump(mode="json"), LIMITS) as box:
        receipt = curate_batch(batch, tmp_path / "out.parquet", SETTINGS, LIMITS, sandbox=box)
    verdicts = list(read_verdicts(tmp_path / "out.parquet"))
    assert [(v.source_id, v.status, v.reason) for v in verdicts] == [
        ("first", "accepted", ""),
        ("hang", "refused", "timeout"),
        ("second", "accepted", ""),
        ("segfault", "refused", "crashed"),
        ("hog", "refused", "out_of_memory"),
        ("exit", "refused", "crashed"),
        ("raise", "refused", "internal_error"),
        ("last", "accepted", ""),
    ]
    assert verdicts[3].detail == "the interpreter was ended by SIGSEGV"
    assert [c["source_id"] for c in receipt.crashes] == ["hang", "segfault", "hog", "exit", "raise"]
    assert receipt.counts == {"accepted": 3, "crashed": 2, "internal_error": 1, "out_of_memory": 1, "timeout": 1}


def test_a_record_that_could_not_be_read_keeps_its_defect_as_the_reason(tmp_path: Path) -> None:
    defective = Record("tests", "x.cif", "", "here", "CC0-1.0", defect=Defect("too_large", "120 MB"))
    curate_batch(stage(tmp_path / "b.parquet", defective), tmp_path / "out.parquet", SETTINGS, Limits())
    (verdict,) = read_verdicts(tmp_path / "out.parquet")
    assert (verdict.status, verdict.reason, verdict.detail) == ("refused", "too_large", "120 MB")


def test_the_result_is_the_same_every_time_but_for_the_clock(tmp_path: Path) -> None:
    batch = stage(tmp_path / "b.parquet", *(record(str(i), rock_salt(5 + i / 10)) for i in range(5)))
    first = curate_batch(batch, tmp_path / "1.parquet", SETTINGS, Limits())
    second = curate_batch(batch, tmp_path / "2.parquet", SETTINGS, Limits())
    assert first.content_sha256 == second.content_sha256
    assert without_seconds(tmp_path / "1.parquet") == without_seconds(tmp_path / "2.parquet")
    otherwise = SETTINGS.model_copy(update={"symprec_A": (0.02,)})
    assert curate_batch(batch, tmp_path / "3.parquet", otherwise, Limits()).content_sha256 != first.content_sha256


def test_a_receipt_is_found_again_only_for_the_same_batch_and_key(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    batch = stage(tmp_path / "b.parquet", record("a"))
    receipt = curate_batch(batch, out, SETTINGS, Limits(), key="k")
    digest = sha256_of(batch)
    assert read_receipt(out, key="k", batch_sha256=digest) == receipt
    assert Receipt.from_json(receipt.to_json()) == receipt
    assert read_receipt(out, key="other", batch_sha256=digest) is None
    assert read_receipt(out, key="k", batch_sha256="0" * 64) is None
    assert read_receipt(tmp_path / "absent", key="k", batch_sha256=digest) is None
    out.write_bytes(out.read_bytes()[:-7])
    assert read_receipt(out, key="k", batch_sha256=digest) is None


def test_whoever_watches_is_given_every_row(tmp_path: Path) -> None:
    seen: list[str] = []
    batch = stage(tmp_path / "b.parquet", record("a"), record("b", ""))
    curate_batch(
        batch, tmp_path / "o.parquet", SETTINGS, Limits(), on_verdict=lambda row: seen.append(row["source_id"])
    )
    assert seen == ["a", "b"]


def test_a_batch_that_was_written_again_since_the_task_was_given_is_left_alone(tmp_path: Path) -> None:
    batch = stage(tmp_path / "b.parquet", record("a"))
    given = sha256_of(batch)
    stage(tmp_path / "b.parquet", record("other"))
    with pytest.raises(ValueError, match="it was written again"):
        curate_batch(batch, tmp_path / "o.parquet", SETTINGS, Limits(), batch_sha256=given)
    assert not (tmp_path / "o.parquet").exists()
    receipt = curate_batch(batch, tmp_path / "o.parquet", SETTINGS, Limits(), batch_sha256=sha256_of(batch))
    assert receipt.rows == 1


def test_however_many_records_crash_a_receipt_stays_small() -> None:
    failure = SandboxFailure("crashed", "x", "o" * 8000)

    class Crashing:
        def call(self, row: dict[str, Any]) -> SandboxFailure:
            return failure

    crashes: list[dict[str, str]] = []
    for number in range(512):
        row = record_to_row(record(f"{number}" * 20))
        verdict = batch_module._curated(row, Crashing(), crashes)  # type: ignore[arg-type]
        assert verdict["reason"] == "crashed"
    assert len(crashes) == 64
    assert sum(len(crash["output"]) for crash in crashes) == 16_000
    assert len(json.dumps(crashes)) < 40_000
