"""The log file of a run: what happened and when, beside the dataset and no part of it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from distributed.utils import silence_logging_cmgr

from datagen.errors import PlanError
from datagen.inspect.verify import verify
from datagen.steps import run_log as module
from datagen.steps.run_log import LOG, run_log
from tests.datagen.small_runs import config_of, make, write_cifs

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR)\s+[\w.]+: .+")


def files_of(dataset: Path) -> dict[str, bytes]:
    paths = sorted(p for p in dataset.rglob("*") if p.is_file() and ".run" not in p.parts)
    return {str(p.relative_to(dataset)): p.read_bytes() for p in paths if p.name != "report.html"}


def test_a_run_and_its_resumption_are_logged_and_the_dataset_is_the_same(tmp_path: Path) -> None:
    config = config_of(write_cifs(tmp_path / "cifs", ["halite", "quartz"]))
    make(config, tmp_path / "a.zarr")
    log = tmp_path / "a.zarr" / ".run" / LOG
    first = log.read_text()
    assert all(LINE.fullmatch(line) for line in first.splitlines()), first
    assert "curate     2 records in" in first
    assert "simulate   2 structures in" in first
    assert first.rstrip().endswith("finished")
    before = files_of(tmp_path / "a.zarr")
    make(config, tmp_path / "a.zarr")
    assert log.read_text().startswith(first)
    assert log.read_text().count("datagen.steps.run_log: finished") == 2
    assert files_of(tmp_path / "a.zarr") == before
    log.unlink()
    assert verify(tmp_path / "a.zarr").n_structures == 2
    assert not any("run.log" in name for name in before)


def test_a_mistake_leaves_its_message_and_a_bug_its_traceback(tmp_path: Path) -> None:
    for error in (PlanError("not\nlike this"), ZeroDivisionError("a bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)), run_log(tmp_path):
            raise error
    text = (tmp_path / LOG).read_text()
    assert "ERROR   datagen.steps.run_log: not\nlike this\n" in text
    assert text.count("Traceback") == 1
    assert "ZeroDivisionError: a bug" in text
    assert "interrupted; re-run the same command to resume" in text
    assert "finished" not in text


def test_what_the_packages_and_dask_say_is_kept_and_levels_are_restored(tmp_path: Path) -> None:
    before = [logging.getLogger(name).level for name in module.PACKAGES]
    with run_log(tmp_path):
        logging.getLogger("cluster.submit").info("worker left")
        logging.getLogger("distributed.nanny").warning("restarting")
        logging.getLogger("matplotlib").warning("a font")
    assert [logging.getLogger(name).level for name in module.PACKAGES] == before
    logging.getLogger("cluster.submit").warning("afterwards")
    text = (tmp_path / LOG).read_text()
    assert "worker left" in text
    assert "restarting" in text
    assert "a font" not in text
    assert "afterwards" not in text


def test_a_cluster_that_silences_dask_silences_no_log(tmp_path: Path) -> None:
    with run_log(tmp_path), silence_logging_cmgr(logging.CRITICAL):  # as each cluster of Dask's does while it lives
        logging.getLogger("distributed.nanny").warning("restarting")
        logging.getLogger("cluster.submit").warning("worker died")
        logging.getLogger("datagen.progress").info("curate: 10 records")
    text = (tmp_path / LOG).read_text()
    for line in (
        "distributed.nanny: restarting",
        "cluster.submit: worker died",
        "datagen.progress: curate: 10 records",
    ):
        assert line in text


def test_the_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    for _ in range(3):
        with run_log(tmp_path):
            for number in range(500):
                logging.getLogger("datagen").info("line %d of a long run", number)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000
    assert {path.name for path in tmp_path.iterdir()} == {LOG, f"{LOG}.1"}


def test_a_link_is_not_followed_and_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / LOG).symlink_to(tmp_path / "elsewhere")
    with run_log(tmp_path / "work"):
        logging.getLogger("datagen").info("one")
    assert not (tmp_path / "elsewhere").exists()
    assert capsys.readouterr().err.count("cannot write") == 1
