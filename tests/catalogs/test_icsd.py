"""ICSD exports are known by their collection codes and marked as not to be passed on."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from catalogs.config import IcsdCatalog
from catalogs.open import open_catalog
from catalogs.record import Record
from tests.catalogs.cifs import NACL, cif


def read(path: Path, **options: object) -> list[Record]:
    return list(open_catalog(IcsdCatalog.model_validate({"path": path, **options})))


def with_code(name: str, code: int, tag: str = "_database_code_ICSD") -> str:
    return cif(name).replace("_cell_length_a", f"{tag} {code}\n_cell_length_a", 1)


def test_the_code_comes_from_the_cif_its_block_or_the_file_s_name(tmp_path: Path) -> None:
    files = {
        "1.cif": with_code("x", 53815),
        "2.cif": cif("18189-ICSD"),
        "EntryWithCollCode240598.cif": NACL,
        "ICSD_CollCode1234.cif": NACL,
        "icsd_555.cif": NACL,
        "777.cif": NACL,
        "my salt.cif": NACL,
        "quoted.cif": with_code("q", 99, "_DATABASE_CODE_icsd").replace(" 99", " '99'"),
        "several.cif": cif("100-ICSD") + cif("101-ICSD") + cif("other"),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = read(tmp_path)
    assert {record.origin.rsplit("/", 1)[-1]: record.source_id for record in found} == {
        "1.cif": "53815",
        "2.cif": "18189",
        "EntryWithCollCode240598.cif": "240598",
        "ICSD_CollCode1234.cif": "1234",
        "icsd_555.cif": "555",
        "777.cif": "777",
        "my salt.cif": "my salt.cif",
        "quoted.cif": "99",
        "several.cif#100-ICSD": "100",
        "several.cif#101-ICSD": "101",
        "several.cif#other": "several.cif#other",
    }
    assert all(record.licence == "ICSD" and record.source_metadata["restricted"] == "yes" for record in found)
    assert found[0].source_metadata["collection_code"] == found[0].source_id


def test_an_entry_exported_twice_keeps_both(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(with_code("x", 7))
    (tmp_path / "b.cif").write_text(with_code("y", 7))
    assert [record.source_id for record in read(tmp_path)] == ["7", "7~2"]


def test_an_export_may_be_packed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "icsd.zip", "w") as archive:
        archive.writestr("EntryWithCollCode5.cif", NACL)
        archive.writestr("broken.cif", b"")
    good, poor = sorted(read(tmp_path / "icsd.zip"), key=lambda record: record.source_id)
    assert (good.source_id, good.licence) == ("5", "ICSD")
    assert poor.defect is not None


@pytest.mark.parametrize(("licence", "restricted"), [("ICSD", True), ("CC0-1.0", False)])
def test_only_the_icsd_s_own_terms_restrict(tmp_path: Path, licence: str, restricted: bool) -> None:
    (tmp_path / "a.cif").write_text(NACL)
    (record,) = read(tmp_path, licence=licence)
    assert record.licence == licence
    assert ("restricted" in record.source_metadata) == restricted
