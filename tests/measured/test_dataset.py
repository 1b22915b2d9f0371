"""Datasets of measured patterns: written, opened, verified, derived and published like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import datagen
from datagen.commands.app import app
from datagen.config.measured import MeasuredSettings
from datagen.errors import DatagenError, StoreError
from datagen.inspect.regenerate import regenerate
from datagen.inspect.report_data import Content
from datagen.inspect.report_measured import _simulated
from datagen.inspect.verify import verify
from datagen.measured.curate import examine
from datagen.measured.labels import lattice_misfit, verdict_of_statements
from datagen.measured.truth import Truth
from datagen.measured.write import write_measured
from datagen.share.merge import merge
from datagen.share.subset import Selection, subset
from datagen.simulate.instrument import Instrument
from datagen.store.quantise import dequantise
from tests.measured.scans import collection
from tests.measured.test_curate import scan
from trainer.scans.read import read_scan

CU = Instrument.preset("cu_kalpha1").model_copy(update={"two_theta_max_deg": 89.0, "n_points": 2048})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("measured")
    source, out = collection(folder / "scans"), folder / "scans.zarr"
    write_measured(source, out, MeasuredSettings.model_validate({"licence": "CC0-1.0"}), CU, "ours")
    return source, out


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_accepted_scans_are_rows_with_labels_and_refused_ones_have_reasons(made: tuple[Path, Path]) -> None:
    _, out = made
    dataset = datagen.open_dataset(out)
    order = dataset.source_id.values.tolist()
    assert sorted(order) == ["Quartz__R0-1__Powder__Xray_Data_XY_Processed__1.txt", "quartz.xy", "salt.xy"]
    assert set(dataset.licence.values) == {"CC0-1.0"}
    assert set(dataset.split.values) == {2}
    salt, stated = order.index("salt.xy"), 0
    assert dataset.space_group.values[salt] == 225
    assert dataset.niggli.values[salt, 0] == pytest.approx(5.64 / np.sqrt(2), abs=0.01)
    assert dataset.has_lattice.values.tolist() == [name.endswith(".xy") for name in order]
    assert (dataset.space_group.values[stated], dataset.crystal_system.values[stated]) == (0, 5)
    lines = {line["source_id"]: line for line in pq.read_table(out / "curation.parquet").to_pylist()}
    assert lines["wrong.xy"]["reason"] == "pattern_disagrees"
    assert lines["broken.xy"]["reason"] == "unreadable"
    assert lines["wrong.xy"]["row"] is None
    assert '"format": "columns"' in lines["salt.xy"]["source_metadata"]


def test_the_scan_itself_is_kept_and_the_pattern_is_that_scan_at_the_angles(made: tuple[Path, Path]) -> None:
    source, out = made
    dataset = datagen.open_dataset(out)
    row = dataset.source_id.values.tolist().index("salt.xy")
    measured = read_scan(source / "salt.xy")
    n = int(dataset.n_scan_points[row])
    assert np.array_equal(dataset.scan_two_theta[row, :n].values, measured.two_theta_deg)
    assert np.array_equal(dataset.scan_intensity[row, :n].values, measured.intensity)
    assert np.isnan(dataset.scan_intensity[row, n:].values).all()
    pattern = dataset.pattern[row, 0].values
    assert pattern.max() == 1.0
    top = float(dataset.two_theta[int(pattern.argmax())])
    assert top == pytest.approx(31.7, abs=0.1)  # the line 200 of halite
    assert np.median(pattern) < 0.01  # no background
    assert float(dataset.pattern_max[row, 0]) == pytest.approx(measured.intensity.max(), rel=0.1)


def test_the_report_shows_scans_beside_simulated_patterns(made: tuple[Path, Path], tmp_path: Path) -> None:
    _, out = made
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "3 scans at the angles of the instrument" in page
    assert "NaCl, space group 225, salt.xy" in page
    assert "?, space group unknown, Quartz__R0-1" in page
    assert "The structure does not explain the pattern" in page
    content = Content(out)
    salt = content.column("source_id").tolist().index("salt.xy")
    simulated, measured = _simulated(out, content, salt)[0], dequantise(content.row("pattern", salt, 1))[0]
    assert np.corrcoef(simulated, measured)[0, 1] > 0.8
    assert _simulated(out, content, 0).shape == (0, 2048)


def test_background_is_kept_if_asked(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = made
    write_measured(source, tmp_path / "kept.zarr", MeasuredSettings.model_validate({"background": "keep"}), CU, "ours")
    pattern = datagen.open_dataset(tmp_path / "kept.zarr").pattern[1, 0].values
    assert 0.01 < np.median(pattern) < 0.05


def test_it_is_verified_and_described(made: tuple[Path, Path]) -> None:
    _, out = made
    assert verify(out, sample=4).n_structures == 3
    output = run("inspect", out)
    assert "scan_intensity" in output
    assert "protocol strict" in output
    assert "1 unknown" not in output  # its crystal system is stated
    assert "2 of 230" in output
    with pytest.raises(StoreError, match="were measured, not simulated"):
        regenerate(out, 0, [0])
    assert "pattern_disagrees" in run("explain", "wrong.xy", "--dataset", out)
    assert "complete" in run("status", out)


def test_subset_merge_audit_and_publish_take_it(made: tuple[Path, Path], tmp_path: Path) -> None:
    _, out = made
    assert subset(out, tmp_path / "a.zarr", Selection("has_lattice")) == 2
    assert subset(out, tmp_path / "b.zarr", Selection("crystal_system == 'trigonal'")) == 2
    found = merge([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "c.zarr")
    assert (found.n_structures, found.n_duplicates) == (3, 1)
    first, second = (datagen.open_dataset(path) for path in (out, tmp_path / "c.zarr"))
    back = second.source_id.values.tolist()
    for row, name in enumerate(first.source_id.values.tolist()):
        other = back.index(name)
        assert np.array_equal(first.scan_intensity[row], second.scan_intensity[other], equal_nan=True)
        assert np.array_equal(first.pattern[row], second.pattern[other])
    run("publish", out, tmp_path / "p.zarr.zip", "--yes")
    assert "3 structures" in run("verify", tmp_path / "p.zarr.zip")


def test_scans_of_a_closed_licence_are_never_published(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = made
    write_measured(source, tmp_path / "closed.zarr", MeasuredSettings.model_validate({}), CU, "ours")
    result = CliRunner().invoke(app, ["publish", str(tmp_path / "closed.zarr"), str(tmp_path / "p.zarr.zip"), "--yes"])
    assert result.exit_code == 1
    assert "unknown, which is not an open licence" in str(result.exception)
    assert not (tmp_path / "p.zarr.zip").exists()


def test_equal_scans_give_equal_bytes_and_nothing_is_overwritten(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = made
    write_measured(source, tmp_path / "again.zarr", MeasuredSettings.model_validate({"licence": "CC0-1.0"}), CU, "ours")
    files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "again.zarr") for p in (tmp_path / "again.zarr").rglob("*") if p.is_file()
    )
    assert all((out / name).read_bytes() == (tmp_path / "again.zarr" / name).read_bytes() for name in files)
    with pytest.raises(StoreError, match="exists already"):
        write_measured(source, out, MeasuredSettings.model_validate({}), CU, "ours")


def test_nothing_is_written_without_an_accepted_scan(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.xy").write_text(scan("halite"))
    with pytest.raises(DatagenError, match=r"none of 1 scans was accepted \(1 no_truth\)"):
        write_measured(tmp_path / "scans", tmp_path / "out.zarr", MeasuredSettings.model_validate({}), CU, "ours")
    assert not (tmp_path / "out.zarr").exists()
    table = tmp_path / "verdicts.csv"
    arguments = ["measured", str(tmp_path / "scans"), "--out", str(tmp_path / "out.zarr"), "--verdicts", str(table)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "no_truth" in table.read_text()


def test_the_command_writes_a_dataset_for_the_instrument_of_another(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = made
    output = run("measured", source, "--out", tmp_path / "new.zarr", "--instrument", out, "--split", "by_group")
    assert "accepted" in output
    assert datagen.open_dataset(tmp_path / "new.zarr").sizes["two_theta"] == 2048
    result = CliRunner().invoke(app, ["measured", str(source), "--protocol", "lenient"])
    assert result.exit_code == 1
    assert "--protocol: Input should be 'strict' or 'alphadiffract'" in str(result.exception)


def test_the_papers_protocol_keeps_wrong_structures_but_wants_cell_and_group(made: tuple[Path, Path]) -> None:
    source, _ = made
    found = {
        e.verdict.pattern: e.verdict
        for e in examine(source, MeasuredSettings.model_validate({"protocol": "alphadiffract"}), CU)
    }
    assert found["wrong.xy"].status == "accepted"
    assert found["wrong.xy"].warnings == ("pattern_disagrees",)
    assert found["Quartz__R0-1__Powder__Xray_Data_XY_Processed__1.txt"].reason == "no_truth"


def test_an_array_collection_is_read(tmp_path: Path) -> None:
    x, y = np.loadtxt(scan("halite").splitlines(), comments="#").T
    np.savez(
        tmp_path / "s.npz",
        intensity=np.stack([y, y + np.arange(len(y)) % 2]),
        two_theta_deg=x,
        space_group=[225, 221],
        wavelength_A=1.5405929,
        formula=["NaCl", "ClNa"],
    )
    first, second = (found for found in examine(tmp_path / "s.npz", MeasuredSettings.model_validate({})))
    assert (first.verdict.space_group, first.verdict.crystal_system, first.labels.group) == (225, 7, "ClNa_225")
    assert second.verdict.warnings == ("not_compared",)
    np.savez(tmp_path / "bad.npz", intensity=np.zeros((2, 3)), two_theta_deg=np.zeros(4))
    with pytest.raises(DatagenError, match="expected 3 angles"):
        list(examine(tmp_path / "bad.npz", MeasuredSettings.model_validate({})))


@pytest.mark.parametrize(
    ("group", "cell", "niggli"),
    [
        (225, (5.64, 5.64, 5.64, 90, 90, 90), (3.988, 3.988, 3.988, 60, 60, 60)),
        (229, (2.866, 2.866, 2.866, 90, 90, 90), (2.482, 2.482, 2.482, 109.47, 109.47, 109.47)),
        (167, (4.759, 4.759, 12.991, 90, 90, 120), (4.759, 4.759, 5.129, 62.36, 62.36, 60)),
        (167, (5.129, 5.129, 5.129, 55.28, 55.28, 55.28), (4.759, 4.759, 5.129, 62.36, 62.36, 60)),
        (62, (5.0, 8.0, 6.0, 90, 90, 90), (5.0, 6.0, 8.0, 90, 90, 90)),
    ],
)
def test_niggli_cells_of_stated_cells(group: int, cell: tuple[float, ...], niggli: tuple[float, ...]) -> None:
    from catalogs.record import Record

    truth = Truth("table", cell=cell, space_group=group, formula="Al2O3")  # type: ignore[arg-type]
    found = verdict_of_statements(Record("a", "b", "", "b", "CC0"), truth)
    assert found.niggli == pytest.approx(niggli, abs=0.02)
    assert lattice_misfit(cell, group) < 1e-4  # type: ignore[arg-type]


def test_a_cell_that_breaks_the_symmetry_of_its_group_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xy").write_text(scan("halite"))
    row = "a.xy,225,5.64,5.64,5.70,90,90,90"
    (tmp_path / "index.csv").write_text(f"pattern,space_group,a,b,c,alpha,beta,gamma\n{row}\n")
    (found,) = examine(tmp_path, MeasuredSettings.model_validate({}))
    assert found.verdict.reason == "cell_breaks_symmetry"
    assert "off the lattice of space group 225" in found.verdict.detail
