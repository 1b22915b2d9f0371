"""The commands `identify` and `index`, and `datagen.identify`."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import datagen
import trainer
from catalogs.example_set import FOLDER
from datagen.commands.app import app
from datagen.commands.identify_tables import with_uncertainty
from datagen.errors import ConfigError, DatagenError, StoreError
from datagen.identification.index import folder_of, load_index
from datagen.identification.index_build import open_index
from datagen.identification.network import Network
from tests.identification.scans import scan_of
from tests.identification.test_identify import crystals

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the library and scans of two of its crystals."""
    out = tmp_path_factory.mktemp("scans")
    shutil.copytree(library, out / "minerals.zarr")
    for name in ("rutile", "calcite"):
        np.savetxt(out / f"{name}.xy", np.column_stack(scan_of(crystals(library)[name])), fmt="%.4f")
    return out


def test_the_command_makes_the_index_and_names_the_structures(folder: Path) -> None:
    result = runner.invoke(
        app,
        ["identify", str(folder / "rutile.xy"), str(folder / "calcite.xy"), "--library", str(folder / "minerals.zarr"),
         "--wavelength", "1.5405929", "--plots", str(folder / "plots")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (folder / "minerals.zarr.index" / "index.json").is_file()
    rutile, calcite = result.output.split("calcite.xy")
    assert "rutile.cif" in rutile.splitlines()[2] or "rutile.cif" in rutile
    assert "calcite.cif" in calcite
    assert "tetragonal" in rutile
    assert "trigonal" in calcite
    assert (folder / "plots" / "rutile.xy.png").stat().st_size > 10_000


def test_json_has_every_scan_and_every_file_that_is_none(folder: Path) -> None:
    (folder / "notes.txt").write_text("no scan")
    result = runner.invoke(
        app,
        ["identify", str(folder / "rutile.xy"), str(folder / "notes.txt"), "-l", str(folder / "minerals.zarr"),
         "--wavelength", "1.5405929", "--exclude", "Ca", "--json"],
    )  # fmt: skip
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["scans"][0]["candidates"][0]["source_id"] == "rutile.cif"
    assert not any("Ca" in c["formula"] for c in found["scans"][0]["candidates"])
    assert found["unreadable"][0]["scan"] == "notes.txt"


def test_a_cell_with_too_many_lines_has_an_unknown_share(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.identification.lines._MOST_LINES", 5)
    command = ["identify", str(folder / "rutile.xy"), "-l", str(folder / "minerals.zarr"), "--wavelength", "1.5405929"]
    shown = runner.invoke(
        app, [*command, "--phases", "2", "--plots", str(folder / "dense"), "--out", f"{folder}/a.csv"]
    )
    assert shown.exit_code == 0, shown.output
    assert "unknown of the peaks explained" in shown.output
    with (folder / "a.csv").open(newline="") as source:
        assert next(csv.DictReader(source))["explained_lines"] == ""


def test_a_file_without_a_wavelength_is_named(folder: Path) -> None:
    result = runner.invoke(app, ["identify", str(folder / "rutile.xy"), "-l", str(folder / "minerals.zarr")])
    assert result.exit_code == 1
    assert "give it with --wavelength" in result.output


def test_python(folder: Path) -> None:
    library = folder / "minerals.zarr"
    (by_file,) = datagen.identify(folder / "calcite.xy", library, wavelength_A=1.5405929)
    scan = np.loadtxt(folder / "calcite.xy")
    (by_arrays,) = datagen.identify(
        (scan[:, 0], scan[:, 1]), library, wavelength_A=1.5405929, elements=["Ca", "C", "O"]
    )
    assert by_file.candidates[0].source_id == by_arrays.candidates[0].source_id == "calcite.cif"
    assert {c.source_id for c in by_arrays.candidates} == {"calcite.cif", "aragonite.cif", "diamond.cif"}
    with pytest.raises(DatagenError, match="expected symbols of elements"):
        datagen.identify(folder / "calcite.xy", library, wavelength_A=1.54, elements="Xx")


def test_an_index_of_another_table_is_stale(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "minerals.zarr", tmp_path / "m.zarr")
    before = open_index(tmp_path / "m.zarr", workers=1)
    assert load_index(tmp_path / "m.zarr", folder_of(tmp_path / "m.zarr")) is not None
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "m.zarr" / "curation.parquet")
    pq.write_table(table.slice(0, 5), tmp_path / "m.zarr" / "curation.parquet")
    assert load_index(tmp_path / "m.zarr", folder_of(tmp_path / "m.zarr")) is None
    assert len(open_index(tmp_path / "m.zarr", workers=1)) < len(before)


@pytest.mark.parametrize("damage", ["facts", "array", "lengths"])
def test_a_damaged_index_is_an_error_not_an_answer(folder: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(folder / "minerals.zarr", tmp_path / "m.zarr")
    open_index(tmp_path / "m.zarr", workers=1)
    kept = folder_of(tmp_path / "m.zarr")
    if damage == "facts":
        (kept / "index.json").write_text('{"format_version": 1')
    elif damage == "array":
        (kept / "hkl.npy").write_bytes(b"\x93NUMPY")
    else:
        np.save(kept / "hkl.npy", np.zeros((3, 3), np.int16))
    with pytest.raises(StoreError, match=r"expected an index|is damaged"):
        open_index(tmp_path / "m.zarr", workers=1)


def test_a_network_is_combined_and_says_who_decided(folder: Path) -> None:
    library = str(folder / "minerals.zarr")
    command = ["identify", str(folder / "calcite.xy"), "-l", library, "--wavelength", "1.5405929", "--json"]
    result = runner.invoke(app, [*command, "--network"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["scans"]
    assert found["decided_by"] in ("library", "network", "both", "neither")
    (alone,) = datagen.identify(folder / "calcite.xy", library, wavelength_A=1.5405929)
    (both,) = datagen.identify(folder / "calcite.xy", library, wavelength_A=1.5405929, network=True)
    assert both.network is not None
    assert alone.decided_by == "library"
    share = both.combination.network_share
    np.testing.assert_allclose(both.space_group, (1 - share) * both.library + share * both.network.space_group)
    # The network has compared the best candidates with the scan, and its own answer is another thing.
    assert all(one.likeness is None for one in alone.candidates)
    judged = {one.source_id: one.likeness for one in both.candidates if one.likeness is not None}
    assert judged
    assert max(judged, key=lambda name: judged[name]) == "calcite.cif" == both.candidates[0].source_id
    assert all(-1 <= value <= 1 for value in judged.values())
    assert both.to_dict()["space_group"][0]["number"] == found["space_group"][0]["number"]


def test_the_network_is_weighed_by_the_lines_and_names_the_cell_on_which_they_lie(folder: Path) -> None:
    command = ["identify", str(folder / "calcite.xy"), "-l", str(folder / "minerals.zarr"), "--wavelength", "1.5405929"]
    result = runner.invoke(app, [*command, "--network", "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["scans"]
    (both,) = datagen.identify(folder / "calcite.xy", folder / "minerals.zarr", wavelength_A=1.5405929, network=True)
    assert both.network is not None
    # `trainer predict` answers alike: the same network and search, of bins made in another precision.
    (own,) = trainer.predict(folder / "calcite.xy", wavelength="1.5405929", top=230)
    by_number = {group.number: group.probability for group in own.space_group}
    np.testing.assert_allclose(both.network.space_group, [by_number[i] for i in range(1, 231)], atol=5e-3)
    assert found["network_cell"]["niggli"] == pytest.approx(both.network.niggli)
    assert found["network_cell"]["line_odds"] > 20
    lengths = np.array(found["network_cell"]["niggli"][:3])
    np.testing.assert_allclose(lengths, both.candidates[0].niggli[:3], rtol=0.005)
    printed = " ".join(runner.invoke(app, [*command, "--network"]).stdout.split())
    assert "cell by the network and the lines: Niggli" in printed
    assert f"(line odds {both.network.line_odds:.0f})" in printed
    assert "cell by the network" not in runner.invoke(app, command).stdout


def test_without_the_weights_named_it_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    library = str(folder / "minerals.zarr")
    command = ["identify", str(folder / "calcite.xy"), "-l", library, "--weights", str(tmp_path / "none.safetensors")]
    result = runner.invoke(app, command)
    assert isinstance(result.exception, ConfigError)
    assert "no weights here" in str(result.exception)


def test_without_torch_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trainer.prediction.qmixer", None)
    with pytest.raises(ConfigError, match="install the extra 'trainer'"):
        Network()


def test_folders_archives_and_datasets_are_scans(folder: Path, tmp_path: Path) -> None:
    """One bad file leaves the answers of the others, in the table and in the lines."""
    (tmp_path / "more").mkdir()
    shutil.copy(folder / "rutile.xy", tmp_path / "more" / "a.xy")
    (tmp_path / "more" / "bad.xy").write_text("1 2\n")
    (tmp_path / "more" / "readme.md").write_text("no scan")
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        archive.write(folder / "calcite.xy", "inside/calcite.xy")
    measured = tmp_path / "truths"
    measured.mkdir()
    shutil.copy(folder / "calcite.xy", measured)
    shutil.copy(FOLDER / "calcite.cif", measured)
    out = ["--out", str(tmp_path / "measured.zarr"), "--wavelength", "1.5405929"]
    made = runner.invoke(app, ["measured", str(measured), *out])
    assert made.exit_code == 0, made.output
    command = ["identify", *(str(tmp_path / n) for n in ("more", "scans.zip", "measured.zarr", "missing.xy")),
               "-l", str(folder / "minerals.zarr"), "--wavelength", "1.5405929"]  # fmt: skip
    lines = runner.invoke(app, [*command, "--out", str(tmp_path / "answers.jsonl")])
    assert lines.exit_code == 1, lines.output
    answers = {line["scan"]: line for line in map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())}
    assert set(answers) == {
        "more:a.xy", "more:bad.xy", "scans.zip:inside/calcite.xy", "measured.zarr:calcite.xy", "missing.xy",
    }  # fmt: skip
    assert answers["more:a.xy"]["candidates"][0]["source_id"] == "rutile.cif"
    for name in ("scans.zip:inside/calcite.xy", "measured.zarr:calcite.xy"):
        assert answers[name]["candidates"][0]["source_id"] == "calcite.cif"
        assert sum(answers[name]["library_space_group"]) == pytest.approx(1, abs=1e-3)
        assert 167 in answers[name]["extinction"][0]["space_groups"]
    assert "no such file" in answers["missing.xy"]["error"]
    assert "error" in answers["more:bad.xy"]
    runner.invoke(app, [*command, "--phases", "2", "--out", str(tmp_path / "answers.csv")])
    rows = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    assert [row["scan"] for row in rows if row["error"]] == ["more:bad.xy", "missing.xy"]
    first = next(row for row in rows if row["scan"] == "more:a.xy")
    assert float(first["conventional_a"]) == pytest.approx(4.594, abs=0.01)
    assert first["phases"].startswith("TiO2 136 1.000")


def test_a_dataset_of_simulated_patterns_holds_no_scan(folder: Path) -> None:
    library = str(folder / "minerals.zarr")
    result = runner.invoke(app, ["identify", library, "-l", library])
    assert result.exit_code == 1
    assert "expected a dataset of measured patterns" in result.output


def test_phases_and_extinctions_are_said(folder: Path) -> None:
    command = ["identify", str(folder / "calcite.xy"), "-l", str(folder / "minerals.zarr"), "--wavelength", "1.5405929"]
    said = runner.invoke(app, [*command, "--phases", "3"]).output
    assert "1 phase" in said
    assert "A further phase is not supported" in said
    assert "extinctions of 161/167" in said
    assert "conventional 4.9" in said


def test_an_answers_file_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    command = ["identify", str(folder / "calcite.xy"), "-l", str(folder / "minerals.zarr"), "--wavelength", "1.5405929"]
    result = runner.invoke(app, [*command, "--out", str(tmp_path / "answers.xlsx")])
    assert isinstance(result.exception, ConfigError)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(4.9134, 0.0005, "4.9134(5)"), (4.91342, 0.00012, "4.91342(12)"), (90.0, 0.0, "90"), (12.3, 2.6, "12(3)")],
)
def test_uncertainties_are_in_the_last_digit(value: float, error: float, text: str) -> None:
    assert with_uncertainty(value, error) == text


def test_one_bad_file_among_many_is_a_warning_in_python(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no such file"):
        found = datagen.identify(
            [tmp_path / "missing.xy", folder / "calcite.xy"], folder / "minerals.zarr", wavelength_A=1.5405929
        )
    assert [answer.name for answer in found] == ["calcite.xy"]
    with pytest.raises(DatagenError, match="no such file"):
        datagen.identify(tmp_path / "missing.xy", folder / "minerals.zarr", wavelength_A=1.54)
