from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from datagen.api import default_dataset
from datagen.commands import app
from tests.datagen.small_runs import EVIL, Made, write_cifs
from tests.faults.runs import command, environment, session_members

SMALL = ("--set", "simulation.augmentation.count=3", "--cluster", "inline")


def said(*arguments: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and everything printed by the whole command line, as `datagen` runs it."""
    monkeypatch.setattr("sys.argv", ["datagen", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as ended:
        app.main()
    code = ended.value.code
    captured = capsys.readouterr()
    return (code if isinstance(code, int) else 0), captured.out + captured.err


def test_a_run_names_dataset_report_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite"])
    out = tmp_path / "with [bold] and spaces.zarr"
    code, text = said("run", cifs, "--out", out, *SMALL, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0, text
    assert f"{out}: 1 structures, 3 patterns" in text
    assert f"report:   {out}/report.html" in text
    assert f"datagen inspect '{out}'" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "nope.toml"), r"nope\.toml: there is no such file"),
        (("run", "nope"), "nope: there is nothing here"),
        (("run", "cifs", "--cluster", "nope"), r"no cluster profile 'nope': expected one of .*local"),
        (("run", "cifs", "--cluster", "inline", "--out", "file"), "expected a folder, found a file"),
        (("run", "cifs", "--cluster", "inline", "--out", "cifs"), r"holds other files \(halite\.cif\)"),
        (("run", "cifs", "--cluster", "inline", "--set", "simulation.sed=1"), "did you mean.*seed"),
        (("plan", "nope"), "nope: there is nothing here"),
        (("status", "nope"), "neither a dataset nor a run"),
        (("verify", "nope"), "no dataset here"),
        (("verify", "file"), "no dataset here"),
        (("inspect", "file"), "no dataset here"),
        (("replay", "cifs", "x"), "no dataset here"),
        (("retry", "nope", "--reason", "x"), r"expected the folder \.run"),
        (("run", "dataset.zarr"), "expected a configuration or a catalog of structures, found a dataset"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_cifs(tmp_path / "cifs", ["halite"])
    (tmp_path / "file").write_text("")
    (tmp_path / "dataset.zarr").mkdir()
    (tmp_path / "dataset.zarr" / "zarr.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    code, text = said(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert re.search(sentence, text), text
    assert "Traceback" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifs", "dataset.zarr", "file"]


def test_workers_are_refused_where_the_cluster_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite"])
    options = ("--cluster", "inline", "--workers", "3")
    code, text = said("run", cifs, *options, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert "decides itself" in text


def test_a_dry_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifs(tmp_path / "cifs", ["halite"])
    monkeypatch.chdir(tmp_path)
    code, text = said("run", "cifs", "--dry-run", *SMALL, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0
    assert "core-hours" in text
    assert [p.name for p in tmp_path.iterdir()] == ["cifs"]


def test_looking_after_a_dataset(
    made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, words in (
        (("status", made.dataset), ["complete", "not needed", "7 of 7 records: 6 accepted", "1 no_cell"]),
        (("verify", made.dataset, "--deep", "--sample", "5"), ["good:", "5 structures", "5 patterns regenerated"]),
        (("inspect", made.dataset), [str(made.dataset), "5 structures x 3 patterns x 512 points", "CC0-1.0"]),
        (("replay", made.dataset, EVIL, "-a", "1"), ["equal", "bit for bit"]),
        (("retry", made.dataset, "--reason", "simulation_failed"), ["no structure is quarantined", str(made.dataset)]),
        (("explain", "quartz.cif", "--dataset", made.dataset), ["accepted"]),
    ):
        code, text = said(*arguments, capsys=capsys, monkeypatch=monkeypatch)
        assert code == 0, text
        for word in words:
            assert word in text


@pytest.mark.parametrize(
    ("given", "dataset"),
    [("a/b.toml", "b.zarr"), ("crystals.tar.gz", "crystals.zarr"), ("cifs", "cifs.zarr"), ("cifs/", "cifs.zarr")],
)
def test_a_dataset_is_named_after_its_configuration(given: str, dataset: str) -> None:
    assert default_dataset(Path(given)) == Path(dataset)


def test_a_dataset_of_this_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minerals" / "more").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "minerals")
    assert default_dataset(Path()) == Path("minerals.zarr")
    monkeypatch.chdir(tmp_path / "minerals" / "more")
    assert default_dataset(Path("..")) == Path("minerals.zarr")


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_one_line_and_leaves_nobody_behind(tmp_path: Path, ended_by: signal.Signals) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite", "quartz", "silicon", "fluorite"])
    log, dataset = tmp_path / "log", tmp_path / "d.zarr"
    with log.open("wb") as out:
        run = subprocess.Popen(
            command("run", cifs, "--out", dataset, "--workers", "2", "--set", "store.structures_per_shard=1"),
            env=environment(),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 100
        while not (dataset / "zarr.json").exists() and run.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if ended_by == signal.SIGINT:
            os.killpg(run.pid, ended_by)  # as a terminal does: driver and workers alike
        else:
            os.kill(run.pid, ended_by)
        assert run.wait(timeout=60) == 130, log.read_text()
        end = time.monotonic() + 20
        while session_members(run.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert session_members(run.pid) == []
    finally:
        for pid in session_members(run.pid):
            os.kill(pid, signal.SIGKILL)
    text = log.read_text()
    assert "datagen: interrupted; re-run the same command to resume" in text
    assert "Traceback" not in text
    assert "leaked" not in text


def test_retry_knows_the_reasons_for_which_structures_are_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.zarr" / ".run").mkdir(parents=True)
    code, text = said(
        "retry", tmp_path / "d.zarr", "--reason", "simulation_timout", capsys=capsys, monkeypatch=monkeypatch
    )
    assert code == 2
    assert "did you mean simulation_timeout" in text


def test_an_empty_catalog_binds_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cifs").mkdir()
    out = tmp_path / "d.zarr"
    code, text = said("run", tmp_path / "cifs", "--out", out, *SMALL, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert "hold no structure" in text
    write_cifs(tmp_path / "cifs", ["halite"])
    code, text = said("run", tmp_path / "cifs", "--out", out, *SMALL, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0, text
    assert "1 structures, 3 patterns" in text


def test_a_dataset_made_of_others_is_never_run_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite", "quartz"])
    out = tmp_path / "d.zarr"
    assert said("run", cifs, "--out", out, *SMALL, capsys=capsys, monkeypatch=monkeypatch)[0] == 0
    part = tmp_path / "part.zarr"
    code, text = said("subset", out, "--sample", "1", "--out", part, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0, text
    before = {p: p.read_bytes() for p in part.rglob("*") if p.is_file()}
    code, text = said("run", cifs, "--out", part, *SMALL, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert "made by subset, merge" in text.replace("\n", " ")
    assert {p: p.read_bytes() for p in part.rglob("*") if p.is_file()} == before
