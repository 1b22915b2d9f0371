"""Killed workers and drivers, structures that crash, full disks, damage: a run always ends with the same dataset."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datagen.errors import StoreError
from datagen.inspect.verify import verify
from tests.faults.runs import (
    ROOT,
    content_of,
    datagen,
    finish,
    kill_session,
    session_members,
    started,
    wait_until,
    workers_of,
)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_number_of_workers_leaves_no_trace(
    undisturbed: tuple[Path, dict[str, str]], tmp_path: Path, workers: str
) -> None:
    config, content = undisturbed
    finish(config, tmp_path / "d.zarr", "--workers", workers)
    assert content_of(tmp_path / "d.zarr") == content


def test_a_finished_dataset_is_left_alone(undisturbed: tuple[Path, dict[str, str]]) -> None:
    config, content = undisturbed
    dataset = config.parent / "whole.zarr"
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob("c/**/*") if p.is_file()}
    report = (dataset / "report.html").read_text()
    assert "Timings" in report
    finish(config, dataset)
    assert (dataset / "report.html").read_text() == report
    assert content_of(dataset) == content
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_clocks_do_not_matter(undisturbed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    config, content = undisturbed
    dataset = tmp_path / "d.zarr"
    shutil.copytree(config.parent / "whole.zarr", dataset)
    for i, path in enumerate(sorted(dataset.rglob("*"))):
        os.utime(path, (10**9 * (i % 3), 10**9 * (i % 3)))  # 1970, 2001 and 2033
    finish(config, dataset)
    assert content_of(dataset) == content


def kill_at_random_instants(config: Path, dataset: Path, chance: random.Random, kills: int, longest_s: float) -> int:
    """Start the run and kill everything, `kills` times; return how many runs were killed before they were done."""
    hit = 0
    for _ in range(kills):
        with started("run", config, "--out", dataset, log=dataset.with_suffix(".log")) as run:
            try:
                run.wait(timeout=chance.uniform(0.3, longest_s))
                break
            except subprocess.TimeoutExpired:
                hit += 1
            victims = session_members(run.pid)
            if chance.random() < 0.3:  # first some of them, as an out-of-memory killer does
                for pid in chance.sample(victims, max(1, len(victims) // 2)):
                    os.kill(pid, chance.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM]))
                time.sleep(chance.uniform(0, 0.5))
            kill_session(run.pid)
    return hit


def test_killed_anywhere_and_started_again_it_makes_the_same_dataset(
    undisturbed: tuple[Path, dict[str, str]], run_seconds: float, tmp_path: Path
) -> None:
    config, content = undisturbed
    chance, hit = random.Random(7), 0
    while not hit:  # a run may be done before its time, too
        shutil.rmtree(tmp_path / "d.zarr", ignore_errors=True)
        hit = kill_at_random_instants(config, tmp_path / "d.zarr", chance, 3, run_seconds)
    finish(config, tmp_path / "d.zarr")
    assert content_of(tmp_path / "d.zarr") == content


@pytest.mark.stress
def test_killed_at_fifty_instants_it_makes_the_same_dataset(
    undisturbed: tuple[Path, dict[str, str]], run_seconds: float, tmp_path: Path
) -> None:
    config, content = undisturbed
    chance = random.Random(50)
    hit, attempt = 0, 0
    while hit < 50:
        dataset = tmp_path / f"{attempt}.zarr"
        hit += kill_at_random_instants(config, dataset, chance, 5, run_seconds)
        finish(config, dataset)
        assert content_of(dataset) == content, f"attempt {attempt}"
        shutil.rmtree(dataset)
        attempt += 1


def test_workers_killed_one_after_the_other_cost_nothing(
    undisturbed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    config, content = undisturbed
    dataset = tmp_path / "d.zarr"
    killed = 0
    with started("run", config, "--out", dataset, log=dataset.with_suffix(".log")) as run:
        for pause in (0.3, 1.0, 2.0):  # while they start, curate and simulate
            wait_until(lambda: workers_of(run.pid) or run.poll() is not None)
            time.sleep(pause)
            for pid in workers_of(run.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        assert run.wait(timeout=240) == 0, dataset.with_suffix(".log").read_text()
    assert killed
    assert content_of(dataset) == content


POISON = {"PYTHONPATH": f"{ROOT / 'tests' / 'faults' / 'poison'}{os.pathsep}{ROOT}"}
"""Environment in which simulating rutile kills the interpreter."""


def test_a_structure_that_kills_every_worker_is_quarantined_and_the_rest_is_made(
    undisturbed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    config, content = undisturbed
    dataset = tmp_path / "d.zarr"
    ended = datagen("run", config, "--out", dataset, extra=POISON)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "quarantined" in ended.stdout
    rows = pq.read_table(dataset / "curation.parquet").to_pylist()
    refused = [row for row in rows if row["status"] == "refused"]
    assert [(row["source_id"], row["reason"], row["row"]) for row in refused] == [
        ("rutile.cif", "simulation_crashed", None)
    ]
    assert sorted(row["row"] for row in rows if row["row"] is not None) == list(range(9))
    assert "rutile.cif: simulation_crashed" in datagen("status", dataset).stdout

    released = datagen("retry", dataset, "--reason", "simulation_crashed")
    assert "1 structures" in released.stdout
    finish(config, dataset)
    assert content_of(dataset) == content


def test_a_second_driver_is_refused(undisturbed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    config, content = undisturbed
    dataset = tmp_path / "d.zarr"
    with started("run", config, "--out", dataset, log=dataset.with_suffix(".log")) as first:
        wait_until(lambda: (dataset / ".run" / "config.json").exists())
        second = datagen("run", config, "--out", dataset)
        assert second.returncode == 2
        assert "is using this folder" in second.stderr
        assert f"process {first.pid}" in second.stderr
        assert first.wait(timeout=240) == 0
    assert content_of(dataset) == content


def test_a_changed_configuration_is_refused_and_says_what_changed(
    undisturbed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    config, content = undisturbed
    dataset = config.parent / "whole.zarr"
    ended = datagen("run", config, "--out", dataset, "--set", "simulation.seed=5")
    assert ended.returncode == 2
    assert "simulation.seed: was 0, now 5" in ended.stderr.replace("\n", " ")
    assert content_of(dataset) == content


DAMAGES = {
    "pattern/c/1/0/0": lambda path: flip(path),
    "pattern/c/2/0/0": lambda path: path.unlink(),
    "pattern/c/0/0/0": lambda path: os.truncate(path, 100),
    "ledger/shard-00001.json": lambda path: path.write_text("{"),
    "ledger/shard-00003.json": lambda path: path.unlink(),
    "space_group/c/0": lambda path: flip(path),
    "pattern/zarr.json": lambda path: path.write_text("{}"),
    "curation.parquet": lambda path: flip(path),
}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damaged", DAMAGES)
def test_damage_is_found_by_verify(undisturbed: tuple[Path, dict[str, str]], tmp_path: Path, damaged: str) -> None:
    dataset = tmp_path / "d.zarr"
    shutil.copytree(undisturbed[0].parent / "whole.zarr", dataset)
    DAMAGES[damaged](dataset / damaged)
    with pytest.raises(StoreError, match=f"(?s){damaged.split('/')[-1].split('.')[0]}|shard 3.*again"):
        verify(dataset)


def test_any_damage_is_repaired_by_running_again(undisturbed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    config, content = undisturbed
    dataset = tmp_path / "d.zarr"
    shutil.copytree(config.parent / "whole.zarr", dataset)
    for name, damage in DAMAGES.items():
        damage(dataset / name)
    said = datagen("verify", dataset)
    assert said.returncode == 2
    assert "again" in said.stderr
    finish(config, dataset, "--cluster", "inline")
    assert content_of(dataset) == content


def test_a_full_disk_is_a_sentence_and_the_run_resumes_when_there_is_space(
    undisturbed: tuple[Path, dict[str, str]], small_disk: Path
) -> None:
    config, content = undisturbed
    ballast = small_disk / "ballast"
    dataset = small_disk / "d.zarr"
    ballast.write_bytes(b"0" * 400_000)
    ended = datagen("run", config, "--out", dataset)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "free disk space" in ended.stderr
    assert "Traceback" not in ended.stderr
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    finish(config, dataset)
    assert content_of(dataset) == content


def test_a_read_only_place_is_a_sentence(undisturbed: tuple[Path, dict[str, str]], small_disk: Path) -> None:
    config, _ = undisturbed
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ended = datagen("run", config, "--out", small_disk / "d.zarr")
    assert ended.returncode == 2
    assert "read-only" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


def test_a_read_only_dataset_can_be_read_verified_and_replayed(
    undisturbed: tuple[Path, dict[str, str]], small_disk: Path
) -> None:
    config, _ = undisturbed
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    dataset = small_disk / "d.zarr"
    shutil.copytree(config.parent / "whole.zarr", dataset)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for arguments in (["verify", "--deep"], ["inspect"], ["status"], ["replay", "quartz.cif", "--augmentation", "2"]):
        name, *rest = arguments
        ended = datagen(name, dataset, *rest)
        assert ended.returncode == 0, ended.stdout + ended.stderr
