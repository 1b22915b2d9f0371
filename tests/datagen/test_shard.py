from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from datagen.config.job import WORK, read_job
from datagen.errors import DatagenError, EngineError, StoreError
from datagen.steps import shard_task
from datagen.steps.accepted import Accepted
from datagen.steps.shard_task import ShardOrder, probe_shard
from tests.datagen.small_runs import Made, config_of, lines_of, make, misbehave, write_accepted_again, write_cifs


def raising(error: Exception) -> Callable[[], None]:
    def behaviour() -> None:
        raise error

    return behaviour


def test_a_structure_whose_simulation_fails_is_set_aside_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    misbehave(monkeypatch, "Na", raising(ZeroDivisionError("no width")))
    outcome = make(config_of(write_cifs(tmp_path / "cifs", ["halite", "quartz"])), tmp_path / "d.zarr")
    line = lines_of(tmp_path / "d.zarr")["halite.cif"]
    assert (line["status"], line["reason"], line["row"]) == ("refused", "simulation_failed", None)
    assert line["detail"] == "ZeroDivisionError: no width"
    assert outcome.set_aside == [("halite.cif", "simulation_failed")]
    assert outcome.counts == {"accepted": 1, "simulation_failed": 1}


def test_a_report_stays_small_however_many_structures_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_task, "MOST_QUARANTINED", 2)
    misbehave(monkeypatch, ("Na", "Si", "Ca"), raising(ZeroDivisionError("x" * 5000)))
    names = ["halite", "quartz", "calcite", "periclase"]
    outcome = make(config_of(write_cifs(tmp_path / "cifs", names)), tmp_path / "d.zarr")
    assert outcome.counts == {"accepted": 1, "simulation_failed": 3}
    lines = lines_of(tmp_path / "d.zarr")
    assert len(lines["halite.cif"]["detail"]) == shard_task.LONGEST_DETAIL


def test_a_full_disk_is_no_fault_of_the_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    misbehave(monkeypatch, "Na", raising(OSError(errno.ENOSPC, "No space left on device", "/tmp/pxrd-gsas2-x")))
    with pytest.raises(DatagenError, match="free disk space"):
        make(config_of(write_cifs(tmp_path / "cifs", ["halite", "quartz"])), tmp_path / "d.zarr")
    assert not (tmp_path / "d.zarr" / WORK / "quarantine.json").exists()


@pytest.mark.parametrize("error", [EngineError("GSAS-II failed: no licence"), StoreError("the disk is gone")])
def test_broken_machinery_stops_the_run_and_sets_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: DatagenError
) -> None:
    misbehave(monkeypatch, "Na", raising(error))
    with pytest.raises(type(error), match=str(error)) as stopped:
        make(config_of(write_cifs(tmp_path / "cifs", ["halite", "quartz"])), tmp_path / "d.zarr")
    assert "Traceback" not in str(stopped.value)
    assert not (tmp_path / "d.zarr" / WORK / "quarantine.json").exists()


def test_too_little_memory_is_looked_into_before_a_structure_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    misbehave(monkeypatch, "Na", raising(MemoryError()))  # here only: alone in its own process it is harmless
    with pytest.raises(StoreError, match=r"no structure does so in a sandbox.*more memory"):
        make(config_of(write_cifs(tmp_path / "cifs", ["halite"])), tmp_path / "d.zarr")
    assert not (tmp_path / "d.zarr" / WORK / "quarantine.json").exists()


MISBEHAVING = """
import os, sys, time
from importlib.machinery import PathFinder

def hang(): time.sleep(600)
def crash(): os.abort()
def glut(): raise MemoryError
def fail(): raise ArithmeticError

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "datagen.simulate.native":
            return None
        spec = PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module
        def load_and_wrap(module):
            load(module)
            healthy = module.simulate
            def simulate(crystal, *rest):
                behaviour = dict(Ti=hang, Si=crash, Ca=glut, Cs=fail)
                for element, act in behaviour.items():
                    if element in {s.rstrip("0123456789+-") for s in crystal.species}:
                        act()
                return healthy(crystal, *rest)
            module.simulate = simulate
        spec.loader.exec_module = load_and_wrap
        return spec

sys.meta_path.insert(0, Finder)
"""
"""Imported by Python itself where its folder is on the path."""


def test_what_ends_a_process_is_found_structure_by_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["cesium_chloride", "diamond", "fluorite", "halite", "rutile", "silicon"]
    dataset = tmp_path / "d.zarr"
    config = config_of(write_cifs(tmp_path / "cifs", names), run={"structure_time_limit_s": 1.0})
    make(config, dataset)
    (tmp_path / "sitecustomize.py").write_text(MISBEHAVING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    accepted = Accepted(write_accepted_again(dataset))
    members = {name: i for i, name in enumerate(accepted.column("source_id"))}
    order = ShardOrder(str(dataset), 0, tuple(members.values()), "", read_job(dataset).key())
    found = {member: reason for member, reason, _ in probe_shard(order).quarantined}
    assert found == {
        members["rutile.cif"]: "simulation_timeout",
        members["silicon.cif"]: "simulation_crashed",
        members["fluorite.cif"]: "simulation_out_of_memory",
    }  # cesium chloride only raises: that harms no process, and the shard tells it in its own words


def test_peaks_that_cannot_be_had_have_a_reason_of_their_own(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.simulate.xrd_peaks.xrd_peaks_terms", lambda *_: 1e99)
    dataset = tmp_path / "d.zarr"
    make(config_of(made.dataset.parent / "cifs"), dataset)
    line = lines_of(dataset)["quartz.cif"]
    assert (line["xrd_peaks_reason"], line["density_reason"]) == ("xrd_peaks_too_large", None)
