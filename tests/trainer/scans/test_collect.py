"""Files, folders and archives of scans, and names of files made from them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.trainer.scans import files
from trainer.scans.collect import distinct_names, scan_files
from trainer.scans.scan import ScanError

CONTENT = {
    "b.xy": files.columns(),
    "a/quartz.xrdml": files.xrdml(),
    "a/quartz.brml": files.brml(),
    "a/notes.pdf": b"%PDF",
    "a/structure.cif": b"data_a\n_cell_length_a 5\n",
    "a/pattern.cif": files.pdcif(),
    "a/settings.json": b"{}",
    "a/entry.json": files.opxrd(),
    ".hidden/c.xy": files.columns(),
    "a/broken.xy": b"1 2\n",
}
SCANS = ["a/broken.xy", "a/entry.json", "a/pattern.cif", "a/quartz.brml", "a/quartz.xrdml", "b.xy"]


def written(folder: Path) -> Path:
    for name, data in CONTENT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in CONTENT.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in sorted(CONTENT.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("make", [written, zipped, tarred])
def test_folders_and_archives_give_their_scans(tmp_path: Path, make: object) -> None:
    where = {written: tmp_path / "f", zipped: tmp_path / "f.zip", tarred: tmp_path / "f.tar.gz"}[make]
    found = list(scan_files(make(where)))  # type: ignore[operator]
    assert [file.name[len(str(where)) + 1 :] for file in found] == SCANS
    for file in found:
        if "broken" in file.name:
            with pytest.raises(ScanError, match="at least 50 points"):
                file.read()
        else:
            assert len(file.read().intensity) == files.N


def test_a_file_is_itself_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(files.columns())
    (file,) = scan_files(tmp_path / "scan")
    assert file.name == str(tmp_path / "scan")
    assert len(file.read().intensity) == files.N
    (brml,) = scan_files(tmp_path / "missing.brml")
    with pytest.raises(ScanError, match="no such file"):
        brml.read()


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no scan files here"):
        list(scan_files(tmp_path))
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ScanError, match="not a complete zip"):
        list(scan_files(tmp_path / "a.zip"))
    (tmp_path / "a.tar.gz").write_bytes(tarred(tmp_path / "b.tar.gz").read_bytes()[:400])
    with pytest.raises(ScanError, match="not a complete tar"):
        list(scan_files(tmp_path / "a.tar.gz"))


def test_names_of_plots_are_distinct() -> None:
    assert distinct_names(["x/scan.xy"]) == ["scan"]
    assert distinct_names(["x/scan.xy", "x/scan.xye", "x/other.xy"]) == ["scan.xy", "scan.xye", "other"]
    assert distinct_names(["x/scan.xy", "y/scan.xy"]) == ["x_scan.xy", "y_scan.xy"]
    assert distinct_names(["a.zip:x/scan.xy", "a.zip:y/scan.xy"]) == ["a.zip_x_scan.xy", "a.zip_y_scan.xy"]
    assert len(set(distinct_names(["scan.xy"] * 3))) == 3
    assert len({name.lower() for name in distinct_names(["x/Scan.xy", "x/scan.xy", "scan.xy.png", "x_scan.xy"])}) == 4
    assert distinct_names(["/a/b c/é#1.xy"]) == ["é_1"]
