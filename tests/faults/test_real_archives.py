"""Real archives, odd files and all: a verdict for every data block, no crash, no hang."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from catalogs.open import open_catalogs
from curation.table import iterate_rows
from datagen.config.config import load_config
from datagen.config.fingerprint import CurateJob
from datagen.steps.curate import curate

SANDBOX_REASONS = {"timeout", "crashed", "out_of_memory", "internal_error"}


def curate_archives(archives: list[Path], folder: Path, processes: int) -> Counter[str]:
    """Reasons counted, after a check that every record has its row, in order."""
    assert archives
    config = folder / "archives.toml"
    config.write_text("".join(f'[[catalog]]\nkind = "zip"\npath = "{archive}"\n' for archive in archives))
    job = CurateJob.of(load_config(config))
    curate(job, folder / "out", processes=processes)
    rows = list(iterate_rows(folder / "out" / "curation.parquet", ["source", "source_id", "reason"]))
    records = [(record.source, record.source_id) for record in open_catalogs(job.catalogs)]
    assert [(row["source"], row["source_id"]) for row in rows] == records
    assert len(set(records)) == len(records)
    return Counter(row["reason"] for row in rows)


def test_small_archives_get_a_verdict_for_every_block(shared_data: Path, tmp_path: Path) -> None:
    archives = [shared_data / "structures" / name for name in ("jarvis.zip", "phonopy_cells.zip")]
    counts = curate_archives(archives, tmp_path, processes=2)
    assert not SANDBOX_REASONS & counts.keys()
    assert counts[""] >= 70


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_all_archives_get_a_verdict_for_every_block(
    shared_data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "stress" not in request.config.getoption("-m"):
        pytest.skip("minutes of work; run it with make stress")
    archives = sorted((shared_data / "structures").glob("*.zip"))
    assert len(archives) == 11
    counts = curate_archives(archives, tmp_path, processes=2)
    assert not {"crashed", "out_of_memory", "internal_error"} & counts.keys()
    assert counts["timeout"] <= 3
    assert sum(counts.values()) == 4352
