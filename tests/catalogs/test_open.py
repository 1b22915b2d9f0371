"""Catalogs open from configuration or a bare path, and give every id once."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from catalogs.config import CatalogConfig, ExamplesCatalog, FolderCatalog, ZipCatalog
from catalogs.defects import DEFECTS
from catalogs.errors import CatalogError
from catalogs.open import SOURCES, guess_catalog, open_catalog, open_catalogs
from catalogs.reading import with_unique_ids
from catalogs.record import Record
from tests.catalogs.cifs import NACL


def test_every_kind_of_section_has_a_source() -> None:
    kinds = {model.model_fields["kind"].default for model in CatalogConfig.__args__[0].__args__}  # type: ignore[attr-defined]
    assert set(SOURCES) == kinds


def test_every_defect_says_what_it_means_and_what_to_do() -> None:
    for code, kind in DEFECTS.items():
        assert code == code.lower().replace(" ", "_")
        assert kind.meaning.endswith(".")
        assert kind.remedy.endswith(".")


def filled(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in ("folder", "a.cif", "b.ZIP", "c.tar.gz", "d.csv", "e.parquet")}
    paths["folder"].mkdir()
    (paths["folder"] / "x.cif").write_text(NACL)
    paths["a.cif"].write_text(NACL)
    with zipfile.ZipFile(paths["b.ZIP"], "w") as archive:
        archive.write(paths["a.cif"], "x.cif")
    with tarfile.open(paths["c.tar.gz"], "w:gz") as tar:
        tar.add(paths["a.cif"], "x.cif")
    paths["d.csv"].write_text(f'material_id,cif\nmp-1,"{NACL}"\n')
    pq.write_table(pa.table({"cif": [NACL]}), paths["e.parquet"])
    return paths


def test_a_path_alone_says_what_it_is(tmp_path: Path) -> None:
    paths = filled(tmp_path)
    kinds = [guess_catalog(path).kind for path in paths.values()]
    assert kinds == ["folder", "folder", "zip", "tar", "table", "table"]
    for path in paths.values():
        (record,) = open_catalog(guess_catalog(path))
        assert record.text == NACL


@pytest.mark.parametrize("name", ["missing", "missing.cif", "notes.txt", "x.rar"])
def test_a_path_that_is_no_catalog_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "x.rar").touch()
    with pytest.raises(CatalogError, match=r"(there is nothing here|not a catalog).*expected a folder"):
        guess_catalog(tmp_path / name)


def test_catalogs_follow_one_another_under_their_names(tmp_path: Path) -> None:
    paths = filled(tmp_path)
    found = open_catalogs([FolderCatalog(path=paths["folder"]), ZipCatalog(path=paths["b.ZIP"])])
    assert [(record.source, record.source_id) for record in found] == [("folder", "x.cif"), ("b", "x.cif")]


def test_two_catalogs_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [FolderCatalog(path=tmp_path), FolderCatalog(path=tmp_path)]
    with pytest.raises(CatalogError, match="same name"):
        list(open_catalogs(twice))


def test_opening_reads_nothing_yet() -> None:
    open_catalog(FolderCatalog(path=Path("/nowhere/at all")))
    open_catalogs([FolderCatalog(path=Path("/nowhere/at all")), ExamplesCatalog()])


def test_a_suffix_that_is_taken_is_not_given_twice() -> None:
    ids = ["a", "a~2", "a", "a", "a~2", "b"]
    found = [r.source_id for r in with_unique_ids(Record("s", i, "", "", "") for i in ids)]
    assert found == ["a", "a~2", "a~3", "a~4", "a~2~2", "b"]
    assert len(set(found)) == len(ids)


def test_the_order_and_content_are_the_same_every_time(tmp_path: Path) -> None:
    configs = [guess_catalog(path) for path in filled(tmp_path).values()]
    assert list(open_catalogs(configs[:1])) == list(open_catalogs(configs[:1]))
    for config in configs:
        assert list(open_catalog(config)) == list(open_catalog(config))


def test_an_error_says_where_what_expected_found_and_what_to_do() -> None:
    error = CatalogError("it is broken", where="here", expected="a", found="b\n c", do="mend it")
    assert str(error) == "here: it is broken: expected a, found b c; mend it"
    assert (error.where, error.what, error.expected, error.found, error.do) == (
        "here",
        "it is broken",
        "a",
        "b c",
        "mend it",
    )


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip"])
@pytest.mark.parametrize("kind", ["icsd", "cod", "rruff"])
def test_every_kind_reads_every_archive_that_a_path_alone_reads(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1000041.cif", NACL)
    else:
        compression = {"z": "xz", "2": "bz2", "r": ""}.get(ending[-1], "gz")
        compression = "gz" if ending in (".tgz", ".tar.gz") else "xz" if ending.endswith("xz") else compression
        with tarfile.open(path, f"w:{compression}") as tar:  # type: ignore[call-overload]
            member = tarfile.TarInfo("1000041.cif")
            member.size = len(NACL.encode())
            tar.addfile(member, io.BytesIO(NACL.encode()))
    config = TypeAdapter(CatalogConfig).validate_python({"kind": kind, "path": path})
    (named,), (plain,) = open_catalog(config), open_catalog(guess_catalog(path))
    assert named.text == plain.text == NACL
