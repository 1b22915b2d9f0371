"""The files that describe a running run, and `datagen status --watch`, which shows them."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console

from datagen.config.job import WORK
from datagen.errors import EngineError, StoreError
from datagen.inspect.watch import look, panel, watch
from datagen.progress import Figures
from datagen.steps import monitor as module
from datagen.steps.metrics import metrics_text
from datagen.steps.monitor import EVENTS, SNAPSHOT, Monitor, read_snapshot
from tests.datagen.small_runs import config_of, make, misbehave, write_cifs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def shown(dataset: Path) -> str:
    out = io.StringIO()
    state = watch(dataset, Console(file=out, width=200), sleep=lambda _: pytest.fail("it should have ended"))
    return f"{state}: {out.getvalue()}"


def table(snapshot: module.Snapshot, state: str) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(panel(snapshot, state))
    return out.getvalue()


def test_a_run_leaves_its_snapshot_events_and_metrics(tmp_path: Path) -> None:
    dataset, metrics = tmp_path / "d.zarr", tmp_path / "datagen.prom"
    config = config_of(write_cifs(tmp_path / "cifs", ["fluorite", "halite", "silicon"]))
    settings = config.run.model_copy(update={"events": True, "metrics": metrics})
    make(config.model_copy(update={"run": settings}), dataset)
    found = read_snapshot(dataset / WORK)
    assert found is not None
    assert (found.state, found.dataset, found.verdicts) == ("finished", "d.zarr", {"accepted": 3})
    assert found.driver_memory_bytes > 1e7
    events = [json.loads(line) for line in (dataset / WORK / EVENTS).read_text().splitlines()]
    phases = [event["phase"] for event in events if event["event"] == "phase_began"]
    assert phases == ["curate", "simulate", "verify", "replay", "replay", "report"]
    assert [event["phase"] for event in events if event["event"] == "phase_ended"] == phases
    assert events[-1] | {"time": ""} == {"time": "", "event": "run_ended", "state": "finished", "error": None}
    assert 'datagen_run_state{dataset="d.zarr",state="finished"} 1\n' in metrics.read_text()
    assert shown(dataset).startswith("finished: finished, driver ")


def test_a_failed_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise EngineError("no licence for Si")

    misbehave(monkeypatch, "Si", die)
    dataset = tmp_path / "d.zarr"
    with pytest.raises(EngineError):
        make(config_of(write_cifs(tmp_path / "cifs", ["silicon"])), dataset)
    said = shown(dataset)
    assert said.startswith("failed: simulate: 0 of 1 structures (0%)")
    assert "no licence for Si" in said


def test_a_killed_driver_is_noticed(tmp_path: Path) -> None:
    work = tmp_path / "d.zarr" / WORK
    work.mkdir(parents=True)
    assert look(work) == (None, "gone")
    Monitor(tmp_path / "d.zarr", work).phase_began("simulate", 10, "structures", 2)
    assert "simulate: 2 of 10 structures (20%)" in shown(tmp_path / "d.zarr")
    assert "is gone and did not record its end; re-run the same command to resume" in shown(tmp_path / "d.zarr")


def test_rates_follow_what_happens_now(tmp_path: Path, clock: list[float]) -> None:
    monitor = Monitor(tmp_path / "d.zarr", tmp_path)
    monitor.phase_began("simulate", 1000, "structures", 100)
    for _ in range(100):  # 1 a second, then 4 a second
        clock[0] += 1.0
        monitor.advanced(monitor.snapshot.done + 1, Figures(n_patterns=10 * (monitor.snapshot.done - 99)))
    assert monitor.snapshot.rate_per_s == pytest.approx(1.0)
    for _ in range(150):
        clock[0] += 1.0
        monitor.advanced(monitor.snapshot.done + 4, Figures(n_patterns=10 * (monitor.snapshot.done - 96)))
    shot = monitor.snapshot
    assert shot.rate_per_s == pytest.approx(4.0)
    assert shot.patterns_per_s == pytest.approx(40.0)
    assert shot.remaining_s == pytest.approx((1000 - 800) / 4)
    assert "4.0 structures/s, 40 patterns/s, about 50 s left" in table(shot, "running")


def test_figures_stay_until_a_phase_knows_better(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / "d.zarr", tmp_path)
    monitor.phase_began("curate", 4, "records", 0)
    monitor.advanced(4, Figures(verdicts={"accepted": 3, "no_cell": 1}, workers=2, tasks_in_flight=1))
    monitor.said("[nothing] is [markup]", logging.WARNING)
    monitor.phase_ended()
    monitor.phase_began("simulate", 3, "structures", 0)
    monitor.advanced(1, Figures(workers=5, worker_memory_bytes=2e8, n_quarantined=1, n_bytes=10_000))
    text = table(monitor.snapshot, "running")
    for expected in ("3 accepted (75.0%)", "1 no_cell (25.0%)", "5 workers", "largest worker 200 MB", "10 kB"):
        assert expected in text
    assert re.search(r"warning +\d\d:\d\d:\d\d \[nothing\] is \[markup\]", text)


def test_a_file_that_cannot_be_written_costs_the_file_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / EVENTS).symlink_to(tmp_path / "elsewhere")
    monitor = Monitor(tmp_path / "d.zarr", tmp_path, events=True, metrics=tmp_path / "metrics")
    monitor.phase_began("read", None, "records", 0)
    monitor.phase_ended()
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        f"cannot write {tmp_path / EVENTS}",
        f"cannot write {tmp_path / 'metrics'}",
    ]
    assert not (tmp_path / "elsewhere").exists()
    assert read_snapshot(tmp_path) is not None


def test_metrics_are_in_the_text_format(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / 'a "b"\\c', tmp_path)
    monitor.phase_began("curate", 4, "records", 1)
    monitor.advanced(2, Figures(verdicts={"accepted": 1, "no_cell": 1}))
    lines = metrics_text(vars(monitor.snapshot), 12.5).splitlines()
    number = r"-?\d+(\.\d+)?(e[+-]?\d+)?"
    value = re.compile(r'datagen_\w+\{(\w+="([^"\\]|\\.)*",?)+\} ' + number)
    for line in lines:
        assert value.fullmatch(line) or re.fullmatch(r"# (HELP|TYPE) datagen_\w+ .+", line), line
    assert 'datagen_records{dataset="a \\"b\\"\\\\c",verdict="no_cell"} 1' in lines
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"dataset": 1}', '{"dataset": "d", "host": "h", "pid": 1, "done": "x"}']
)
def test_a_damaged_snapshot_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / SNAPSHOT).write_text(text)
    with pytest.raises(StoreError, match="expected the progress of a run"):
        read_snapshot(tmp_path)


def test_what_no_run_makes_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run makes this dataset"):
        watch(tmp_path, Console(file=io.StringIO()))
