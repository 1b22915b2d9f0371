from __future__ import annotations

from pathlib import Path

import pytest

from datagen.errors import StoreError
from datagen.inspect.retry import retry
from datagen.steps.quarantine import FILE, Quarantine
from tests.datagen.small_runs import Made, config_of, lines_of, make, misbehave, write_cifs


def test_what_is_set_aside_is_on_disk_at_once(tmp_path: Path) -> None:
    Quarantine(tmp_path).add("h1", "a.cif", "simulation_failed", "why")
    again = Quarantine(tmp_path)
    assert "h1" in again
    assert len(again) == 1
    assert again.reason_of("h1") == ("simulation_failed", "why")
    assert again.reason_of("h2") is None


def test_equal_names_from_two_catalogs_are_both_told(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.add("h1", "1.cif", "simulation_failed", "")
    quarantine.add("h2", "1.cif", "simulation_crashed", "")
    assert quarantine.reasons() == [("1.cif", "simulation_crashed"), ("1.cif", "simulation_failed")]


def test_only_the_reason_named_is_released(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.add("h1", "a", "simulation_failed", "")
    quarantine.add("h2", "b", "simulation_timeout", "")
    assert quarantine.release("simulation_failed") == 1
    assert Quarantine(tmp_path).reasons() == [("b", "simulation_timeout")]
    assert quarantine.release("simulation_failed") == 0


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StoreError, match=r"quarantine\.json.*delete the file"):
        Quarantine(tmp_path)


def test_what_is_released_is_made_by_the_next_run_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(write_cifs(tmp_path / "cifs", ["halite", "quartz", "silicon"]))
    dataset = tmp_path / "d.zarr"

    def fail() -> None:
        raise ArithmeticError("today")

    with monkeypatch.context() as patched:
        misbehave(patched, "Na", fail)
        make(config, dataset)
    assert lines_of(dataset)["halite.cif"]["reason"] == "simulation_failed"
    assert retry(dataset, "simulation_timeout") == 0
    assert retry(dataset, "simulation_failed") == 1
    outcome = make(config, dataset)
    assert (outcome.n_structures, outcome.set_aside) == (3, [])
    make(config, tmp_path / "never.zarr")
    assert lines_of(dataset) == lines_of(tmp_path / "never.zarr")


def test_a_finished_dataset_has_nothing_to_retry(copied: Made) -> None:
    assert retry(copied.dataset, "simulation_failed") == 0


def test_nothing_can_be_retried_where_no_run_was(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"expected the folder \.run"):
        retry(tmp_path, "simulation_failed")
