from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

from datagen.config.fingerprint import CurateJob
from datagen.errors import EngineError, PlanError, StoreError
from datagen.inspect.verify import verify
from datagen.run import anything_done
from tests.datagen.small_runs import EVIL, EXAMPLES, MIXED, Made, config_of, lines_of, make, misbehave, write_cifs


def test_every_input_has_a_line_and_every_good_structure_a_row(made: Made) -> None:
    lines = made.lines()
    assert set(lines) == {"halite.cif", "quartz.cif", "silicon.cif", "aragonite.cif", EVIL, "broken.cif", "mixed.cif"}
    rows = {name: line["row"] for name, line in lines.items()}
    assert sorted(row for row in rows.values() if row is not None) == list(range(5))
    assert rows["broken.cif"] is None
    assert lines["broken.cif"]["status"] == "refused"
    assert made.outcome.n_structures == 5
    assert made.outcome.n_patterns == 15
    assert made.outcome.counts.total() == len(lines)
    assert made.outcome.counts["accepted"] == 6


def test_a_repetition_points_at_the_line_it_repeats(made: Made) -> None:
    lines = list(made.lines().values())
    again = next(line for line in lines if line["duplicate_of"] is not None)
    first = lines[again["duplicate_of"]]
    assert {again["source_id"], first["source_id"]} == {"aragonite.cif", EVIL}
    assert first["structure_hash"] == again["structure_hash"]
    assert again["row"] is None
    assert first["row"] is not None
    assert made.outcome.n_duplicates == 1


def test_of_repetitions_the_one_with_a_density_is_made(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["quartz", "silicon"])
    shutil.copy(cifs / "quartz.cif", cifs / "zz.cif")
    shutil.copy(EXAMPLES / "densities" / "quartz.CHGCAR.gz", cifs / "zz.CHGCAR.gz")
    outcome = make(config_of(cifs), tmp_path / "d.zarr")
    lines = lines_of(tmp_path / "d.zarr")
    order = list(lines)
    assert (outcome.n_structures, outcome.n_duplicates, outcome.n_densities) == (2, 1, 1)
    assert lines["quartz.cif"]["row"] is None
    assert lines["quartz.cif"]["duplicate_of"] == order.index("zz.cif")
    assert lines["zz.cif"]["duplicate_of"] is None
    assert lines["zz.cif"]["row"] == 1
    again = make(config_of(cifs), tmp_path / "d.zarr")
    assert again.n_patterns_now == 0


def test_a_refused_density_keeps_its_reason_and_the_structure_its_row(made: Made) -> None:
    lines = made.lines()
    assert lines["silicon.cif"]["density_reason"] == "wrong_composition"
    assert "Si" in lines["silicon.cif"]["density_detail"]
    assert lines["silicon.cif"]["row"] is not None
    assert lines["quartz.cif"]["density_reason"] is None
    assert made.outcome.n_densities == 1


def test_xarray_opens_it_without_a_warning_and_peaks_go_with_densities(made: Made) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = xarray.open_zarr(made.dataset).load()
    quartz = made.lines()["quartz.cif"]["row"]
    expected = np.zeros(5, dtype=bool)
    expected[quartz] = True
    assert (content["has_density"].values == expected).all()
    assert (content["has_xrd_peaks"].values == expected).all()
    assert content["xrd_peaks"].values[quartz].max() == 1.0


def test_nothing_of_this_machine_s_secrets_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MP_API_KEY", "sesame-0123456789abcdef")
    config = config_of(write_cifs(tmp_path / "cifs", ["halite"]))
    make(config, tmp_path / "d.zarr")
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert b"sesame-0123456789abcdef" not in path.read_bytes(), path


def test_running_again_changes_nothing(copied: Made) -> None:
    def content() -> dict[Path, bytes]:
        of_each_call = ("report.html", "run.log", "progress.json")
        found = (p for p in copied.dataset.rglob("*") if p.is_file() and p.name not in of_each_call)
        return {p: p.read_bytes() for p in found}

    before = content()
    outcome = make(copied.config, copied.dataset)
    assert outcome.n_patterns_now == 0
    assert outcome.counts == copied.outcome.counts
    assert content() == before


def test_catalogs_are_needed_once_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(write_cifs(tmp_path / "cifs", ["halite", "fluorite"]))

    def broken_machine() -> None:
        raise EngineError("no engine today")

    with monkeypatch.context() as patched:
        misbehave(patched, "Ca", broken_machine)
        with pytest.raises(EngineError, match=r"fluorite\.cif: no engine today"):
            make(config, tmp_path / "d.zarr")
    shutil.rmtree(tmp_path / "cifs")
    assert make(config, tmp_path / "d.zarr").n_structures == 2
    assert all(line["status"] == "accepted" for line in lines_of(tmp_path / "d.zarr").values())


def test_a_density_that_vanished_stops_the_run_instead_of_being_refused(
    copied: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifs = shutil.copytree(copied.config.catalog[0].path, tmp_path / "cifs")
    config = config_of(cifs)
    with monkeypatch.context() as patched:
        misbehave(patched, "Si", lambda: (_ for _ in ()).throw(EngineError("later")))
        with pytest.raises(EngineError):
            make(config, tmp_path / "e.zarr")
    density = cifs / "quartz.CHGCAR.gz"
    hidden = density.rename(tmp_path / "hidden.gz")
    with pytest.raises(StoreError, match=r"quartz\.CHGCAR\.gz: .*restore the file"):
        make(config, tmp_path / "e.zarr")
    hidden.rename(density)
    assert make(config, tmp_path / "e.zarr").n_densities == 1


def test_without_gsas2_its_engine_is_refused_before_anything_is_curated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(
        write_cifs(tmp_path / "cifs", ["halite"]),
        simulation={"engine": "gsas2", "augmentation": {"count": 3}},
    )
    monkeypatch.setenv("PXRD_GSAS2_PYTHON", str(tmp_path / "no-python"))
    with pytest.raises(EngineError, match="GSAS-II"):
        make(config, tmp_path / "d.zarr")
    assert not anything_done(tmp_path / "d.zarr")


def test_a_place_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    config = config_of(write_cifs(tmp_path / "cifs", ["halite"]))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("...")
    with pytest.raises(StoreError, match=r"holds other files \(thesis\.tex\).*--out"):
        make(config, tmp_path / "home")
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_a_file_where_the_dataset_should_be_is_a_sentence(tmp_path: Path) -> None:
    config = config_of(write_cifs(tmp_path / "cifs", ["halite"]))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="expected a folder, found a file"):
        make(config, tmp_path / "file")


def test_someone_else_s_zarr_is_refused(tmp_path: Path) -> None:
    config = config_of(write_cifs(tmp_path / "cifs", ["halite"]))
    (tmp_path / "d.zarr").mkdir()
    (tmp_path / "d.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(StoreError, match="expected a dataset of format"):
        make(config, tmp_path / "d.zarr")


def test_a_wrong_path_binds_nobody_to_its_settings(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite"])
    with pytest.raises(Exception, match="nowhere"):
        make(config_of(tmp_path / "nowhere"), tmp_path / "d.zarr")
    assert make(config_of(cifs), tmp_path / "d.zarr").n_structures == 1


def test_where_nothing_is_accepted_the_reasons_are_told(tmp_path: Path) -> None:
    cifs = write_cifs(tmp_path / "cifs", [])
    (cifs / "broken.cif").write_text("data_broken\n_cell_length_a 5\n")
    with pytest.raises(PlanError, match=r"none of 1 records was accepted \(1 no_cell\).*datagen explain"):
        make(config_of(cifs), tmp_path / "d.zarr")


def test_where_everything_is_set_aside_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ArithmeticError("no")

    misbehave(monkeypatch, "Na", fail)
    with pytest.raises(PlanError, match=r"all 1 accepted structures are quarantined \(1 simulation_failed\).*retry"):
        make(config_of(write_cifs(tmp_path / "cifs", ["halite"])), tmp_path / "d.zarr")


def test_an_empty_catalog_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="hold no structure;"):
        make(config_of(write_cifs(tmp_path / "cifs", [])), tmp_path / "d.zarr")


def test_changed_settings_are_refused_with_what_changed(copied: Made) -> None:
    changed = copied.config.model_copy(update={"simulation": copied.config.simulation.model_copy(update={"seed": 4})})
    with pytest.raises(PlanError, match=r"simulation\.seed: was 0, now 4"):
        make(changed, copied.dataset)
    said = json.loads((copied.dataset / ".run" / "config.json").read_text())
    assert said["simulation"]["seed"] == 0
    assert said["curation"] == CurateJob.of(copied.config).fingerprint()["curation"]


@pytest.mark.parametrize(
    "simulation",
    [
        {"instrument": "cu_kalpha", "augmentation": {"count": 2}},
        {"instrument": "alphadiffract", "augmentation": {"preset": "realistic", "count": 2}},
    ],
    ids=["two lines", "realistic"],
)
def test_other_instruments_and_presets_come_out_the_same_again(tmp_path: Path, simulation: dict[str, object]) -> None:
    cifs = write_cifs(tmp_path / "cifs", ["halite", "quartz"])
    (cifs / "mixed.cif").write_text(MIXED)
    make(config_of(cifs, simulation=simulation), tmp_path / "d.zarr")
    assert verify(tmp_path / "d.zarr", sample=3).regenerated == 3
