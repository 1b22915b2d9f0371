"""The COD is read from a mirror, or entry by entry from its site, politely and once."""

from __future__ import annotations

import zipfile
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError

import pytest

from catalogs import cod
from catalogs.config import CodCatalog
from catalogs.errors import CatalogError
from catalogs.open import open_catalog
from catalogs.record import Record
from tests.catalogs.cifs import NACL, cif


class Site:
    """The COD's web site, without a network."""

    def __init__(self, entries: dict[int, str], failures: int = 0) -> None:
        self.entries = entries
        self.failures = failures
        self.asked: list[str] = []
        self.pauses: list[float] = []

    def open(self, url: str) -> IO[bytes]:
        self.asked.append(url)
        if self.failures:
            self.failures -= 1
            raise URLError("no route to host")
        number = int(url.rsplit("/", 1)[-1].removesuffix(".cif"))
        if number not in self.entries:
            raise HTTPError(url, 404, "Not Found", Message(), None)
        return BytesIO(self.entries[number].encode())

    def read(self, path: Path, **options: object) -> list[Record]:
        config = CodCatalog.model_validate({"path": path, "download": True, **options})
        return list(cod.records(config, opener=self.open, sleep=self.pauses.append))


def test_a_mirror_is_read_whole_under_cod_numbers(tmp_path: Path) -> None:
    for name in ("1/00/00/1000000.cif", "9/01/23/9012345.cif", "notes.cif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(NACL)
    (tmp_path / "2/00/00").mkdir(parents=True)
    (tmp_path / "2/00/00/2000000.cif").write_text(cif("global") + cif("I"))
    found = list(open_catalog(CodCatalog(path=tmp_path)))
    assert [record.source_id for record in found] == ["1000000", "2000000#global", "2000000#I", "9012345", "notes.cif"]
    assert found[0].source_metadata == {"cod_id": "1000000"}
    assert {record.licence for record in found} == {"CC0-1.0"}


def test_numbers_pick_entries_from_a_mirror_however_it_is_laid_out(tmp_path: Path) -> None:
    for name in ("1/00/00/1000000.cif", "1000001.cif", "cif/1/00/00/1000002.cif", "1/00/00/1000003.cif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(NACL)
    (tmp_path / "ids.txt").write_text("1000002, 1000001 # these two\n1000009\n")
    config = CodCatalog(path=tmp_path, ids=(1000000, 1000001), ids_file=tmp_path / "ids.txt")
    found = list(open_catalog(config))
    assert [(record.source_id, record.defect.reason if record.defect else "") for record in found] == [
        ("1000000", ""), ("1000001", ""), ("1000002", ""), ("1000009", "not_found"),
    ]  # fmt: skip


def test_an_archive_of_the_cod_is_read_in_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cod.zip", "w") as archive:
        for number in (1000000, 1000001):
            archive.writestr(f"cif/1/00/00/{number}.cif", NACL)
    everything = open_catalog(CodCatalog(path=tmp_path / "cod.zip"))
    assert [record.source_id for record in everything] == ["1000000", "1000001"]
    some = open_catalog(CodCatalog(path=tmp_path / "cod.zip", ids=(1000001,)))
    assert [record.source_id for record in some] == ["1000001"]


def test_missing_entries_are_fetched_once_and_kept_as_a_mirror(tmp_path: Path) -> None:
    site = Site({1000000: NACL, 1000017: cif("b")})
    first = site.read(tmp_path, ids=[1000017, 1000000])
    assert [record.source_id for record in first] == ["1000000", "1000017"]
    assert site.asked == [f"https://www.crystallography.net/cod/{n}.cif" for n in (1000000, 1000017)]
    assert (tmp_path / "1/00/00/1000017.cif").read_text() == cif("b")
    again = site.read(tmp_path, ids=[1000017, 1000000])
    assert len(site.asked) == 2
    assert [record.text for record in again] == [record.text for record in first]
    assert len(list(open_catalog(CodCatalog(path=tmp_path)))) == 2


def test_entries_the_site_does_not_have_are_defects(tmp_path: Path) -> None:
    (record,) = Site({}).read(tmp_path, ids=[1000000])
    assert record.defect is not None
    assert (record.defect.reason, record.source_id) == ("not_found", "1000000")
    assert "404" in record.defect.detail


def test_a_failing_network_is_tried_again_then_told(tmp_path: Path) -> None:
    site = Site({1000000: NACL}, failures=3)
    assert len(site.read(tmp_path / "a", ids=[1000000])) == 1
    assert site.pauses == [cod.PAUSE_S, 1.0, 2.0, 4.0]
    with pytest.raises(CatalogError, match=r"no route to host.*completed downloads are kept"):
        Site({}, failures=99).read(tmp_path / "b", ids=[1000000])


def test_an_entry_longer_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    (record,) = Site({1000000: NACL * 1000}).read(tmp_path, ids=[1000000], max_file_MB=0.01)
    assert record.defect is not None
    assert record.defect.reason == "too_large"
    assert not list(tmp_path.rglob("*.cif"))


@pytest.mark.parametrize("content", ["1000000 abc", "123", "10000000"])
def test_a_list_with_something_else_in_it_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "ids.txt").write_text(content)
    with pytest.raises(CatalogError, match="seven digits"):
        list(open_catalog(CodCatalog(path=tmp_path, ids_file=tmp_path / "ids.txt")))
    with pytest.raises(CatalogError, match="cannot be read"):
        list(open_catalog(CodCatalog(path=tmp_path, ids_file=tmp_path / "missing.txt")))
