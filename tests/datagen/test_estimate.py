from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import InlineProfile, JobProfile
from datagen.config.config import parse_config
from datagen.errors import EngineError, PlanError
from datagen.inspect.estimate import Estimate, estimate
from datagen.progress import Silence
from datagen.steps.disk_space import check_disk_space
from tests.datagen.small_runs import Made, config_of, misbehave, write_cifs


@pytest.fixture(scope="module")
def found(made: Made) -> Estimate:
    return estimate(made.config, display=Silence())


def test_it_is_near_what_the_run_made(found: Estimate, made: Made) -> None:
    assert (found.n_records, found.sample) == (7, 7)
    assert found.n_structures == 6  # repetitions are not looked for in a sample
    assert found.n_patterns == 18
    assert made.outcome.bytes / 2 < found.n_bytes < made.outcome.bytes * 2
    n_files = sum(1 for path in made.dataset.rglob("*") if path.is_file() and ".run" not in path.parts)
    assert n_files <= found.n_files < 2 * n_files


def test_it_grows_with_the_number_of_structures(made: Made, found: Estimate) -> None:
    many = estimate(made.config, display=Silence(), structures=312_267)
    assert many.n_structures == pytest.approx(312_267, abs=1)
    assert many.n_patterns == 3 * many.n_structures
    assert many.core_seconds > 1000 * found.core_seconds
    assert many.n_shards == -(-many.n_structures // 2)
    with pytest.raises(PlanError, match=r"store\.structures_per_shard"):
        check_disk_space(many.n_files, 0, Path(), made.config.store.max_files)


def test_generated_crystals_are_not_all_made_to_be_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.inspect.estimate.READ_FOR_SAMPLE", 60)
    content = {"catalog": [{"kind": "generated", "count": 312_267}]}
    config = parse_config(content, where="test", base=tmp_path)
    found = estimate(config, display=Silence())
    assert (found.n_records, found.sample) == (312_267, 48)
    assert 0.9 * 312_267 <= found.n_structures <= 312_267
    assert found.n_work_bytes > 312_267 * 1000


def test_memory_is_that_of_processes_with_these_libraries(made: Made, found: Estimate) -> None:
    assert 1e8 < found.worker_bytes < 2e9
    assert 1e8 < found.sandbox_bytes < 1e9
    assert 2e8 < found.driver_bytes < 1e9
    many = estimate(made.config, display=Silence(), structures=312_267)
    assert found.driver_bytes < many.driver_bytes < 1.1e9


def test_workers_are_those_of_the_cluster(found: Estimate) -> None:
    assert found.workers(InlineProfile(kind="inline")) == 1
    assert found.workers(JobProfile(kind="slurm", workers=64)) == 64


def test_what_cannot_be_simulated_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ArithmeticError

    misbehave(monkeypatch, "Si", fail)
    config = config_of(write_cifs(tmp_path / "cifs", ["silicon", "halite"]))
    assert estimate(config, display=Silence()).n_structures == 1


def test_without_any_accepted_structure_it_is_zero(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", [])
    (cifs / "broken.cif").write_text("data_broken\n_cell_length_a 5\n")
    assert estimate(config_of(cifs), display=Silence()).n_structures == 0


def test_an_engine_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PXRD_GSAS2_PYTHON", str(tmp_path / "no-python"))
    config = config_of(write_cifs(tmp_path / "cifs", ["halite"]), simulation={"engine": "gsas2"})
    with pytest.raises(EngineError, match="GSAS-II"):
        estimate(config, display=Silence())


def test_a_full_disk_is_refused() -> None:
    with pytest.raises(PlanError, match="needs about 1e"):
        check_disk_space(1, 1e24, Path("d.zarr"), 100)
