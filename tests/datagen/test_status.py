from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from datagen.config.job import WORK
from datagen.errors import EngineError, StoreError
from datagen.inspect.status import status_of
from tests.datagen.small_runs import Made, config_of, make, misbehave, write_cifs


def test_of_a_complete_dataset(made: Made) -> None:
    status = status_of(made.dataset)
    assert (status.phase, status.driver) == ("complete", None)
    assert (status.n_records, status.n_curated) == (7, 7)
    assert (status.n_committed, status.n_shards) == (3, 3)
    assert (status.n_structures_committed, status.n_structures) == (5, 5)
    assert status.n_densities == 1
    assert status.verdicts["accepted"] == 6
    assert status.mistakes == []


def test_of_a_copy_without_the_run_s_folder(copied: Made) -> None:
    shutil.rmtree(copied.dataset / WORK)
    assert status_of(copied.dataset).phase == "complete"
    (copied.dataset / "ledger" / "shard-00001.json").write_text("{")
    assert "shard-00001.json" in status_of(copied.dataset).mistakes[0]


def test_of_a_run_that_died_while_simulating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        during = status_of(tmp_path / "d.zarr")
        assert during.phase == "simulate"
        assert during.driver is not None
        raise EngineError("died")

    misbehave(monkeypatch, "Si", die)
    with pytest.raises(EngineError):
        make(config_of(write_cifs(tmp_path / "cifs", ["fluorite", "halite", "silicon"])), tmp_path / "d.zarr")
    after = status_of(tmp_path / "d.zarr")
    assert (after.phase, after.driver) == ("simulate", None)
    assert (after.n_committed, after.n_shards, after.n_structures_committed) == (1, 2, 2)


def test_of_a_run_that_died_while_judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        during = status_of(tmp_path / "d.zarr")
        while during.n_records is None:  # the catalogs may still be being read
            time.sleep(0.01)
            during = status_of(tmp_path / "d.zarr")
        assert (during.phase, during.n_records, during.n_curated) == ("curate", 2, 0)
        raise EngineError("died")

    monkeypatch.setattr("datagen.steps.curate_on_cluster.curate_batch", lambda *_, **__: die())
    with pytest.raises(EngineError, match="died"):
        make(config_of(write_cifs(tmp_path / "cifs", ["fluorite", "halite"])), tmp_path / "d.zarr")
    assert status_of(tmp_path / "d.zarr").phase == "curate"


def test_what_is_no_dataset_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="neither a dataset nor a run"):
            status_of(place)
