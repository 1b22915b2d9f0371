"""A zip archive is read in place; nothing in it can reach outside, and no entry can fill the memory."""

from __future__ import annotations

import io
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from catalogs.config import ZipCatalog
from catalogs.errors import CatalogError
from catalogs.open import open_catalog
from catalogs.record import Record
from tests.catalogs.cifs import NACL, cif


def make(path: Path, entries: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def read(path: Path, **options: object) -> list[Record]:
    return list(open_catalog(ZipCatalog.model_validate({"path": path, "name": "z", **options})))


def reasons(records: list[Record]) -> dict[str, str]:
    return {record.source_id: record.defect.reason if record.defect else "" for record in records}


def everything_under(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_entries_come_in_natural_order(tmp_path: Path) -> None:
    path = make(tmp_path / "x y.zip", {"10.cif": NACL, "b/2.cif": NACL, "2.cif": NACL, "ä.CIF": NACL, "README": "no"})
    found = read(path)
    assert [record.source_id for record in found] == ["2.cif", "10.cif", "b/2.cif", "ä.CIF"]
    assert found[2].origin == f"{path}!b/2.cif"
    assert all(record.text == NACL for record in found)


def test_entries_that_escape_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    names = ["../up.cif", "/abs.cif", "a/../../b.cif", "..\\win.cif", "../notes.txt", "ok.cif"]
    path = make(inside / "evil.zip", dict.fromkeys(names, NACL))
    before = everything_under(tmp_path)
    found = reasons(read(path))
    assert found.pop("ok.cif") == ""
    assert len(found) == 5
    assert set(found.values()) == {"escaping_entry"}
    assert everything_under(tmp_path) == before


def test_links_encrypted_entries_and_archives_inside_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.cif")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.tar.gz", b"")
        archive.writestr("secret.cif", NACL)
        archive.writestr("__MACOSX/._x.cif", b"\0")
        archive.writestr(".hidden.cif", NACL)
        archive.writestr("folder.cif/", "")
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.find(b"secret.cif", raw.find(signature)) if signature == b"PK\x03\x04" else raw.rfind(b"secret.cif")
        raw[raw.rfind(signature, 0, at) + offset] |= 1
    path.write_bytes(raw)
    assert reasons(read(path)) == {
        "inner.tar.gz": "nested_archive",
        "link.cif": "link_entry",
        "secret.cif": "encrypted_entry",
    }


def test_an_entry_of_gigabytes_is_refused_by_its_own_word(tmp_path: Path) -> None:
    path = make(tmp_path / "big.zip", {"zeros.cif": bytes(60_000_000)})
    assert path.stat().st_size < 100_000
    (record,) = read(path)
    assert record.defect is not None
    assert record.defect.reason == "too_large"


def test_an_entry_that_lies_about_its_size_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    path = make(tmp_path / "bomb.zip", {"zeros.cif": bytes(80_000_000)})
    raw = path.read_bytes()
    size = (80_000_000).to_bytes(4, "little")
    assert raw.count(size) >= 1
    path.write_bytes(raw.replace(size, (1000).to_bytes(4, "little")))
    tracemalloc.start()
    (record,) = read(path, max_file_MB=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert record.defect is not None
    assert record.defect.reason in {"too_large", "damaged_entry"}
    assert peak < 20_000_000


def test_a_gzip_inside_an_entry_is_bounded_too(tmp_path: Path) -> None:
    import gzip

    bomb = gzip.compress(bytes(20_000_000))
    path = make(tmp_path / "a.zip", {"bomb.cif.gz": bomb, "fine.cif.gz": gzip.compress(NACL.encode())})
    assert reasons(read(path, max_file_MB=1)) == {"bomb.cif.gz": "too_large", "fine.cif.gz": ""}


def test_a_damaged_entry_costs_itself_only(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"a.cif": cif("a"), "b.cif": cif("b"), "c.cif": cif("c")}, zipfile.ZIP_STORED)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"data_b\n", b"data_q\n"))
    assert reasons(read(path)) == {"a.cif": "", "b.cif": "damaged_entry", "c.cif": ""}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED])
def test_damage_under_any_compression_is_a_defect(tmp_path: Path, method: int) -> None:
    path = make(tmp_path / "a.zip", {"a.cif": NACL * 50}, method)
    raw = bytearray(path.read_bytes())
    for at in range(60, 160):
        raw[at] ^= 0xFF
    path.write_bytes(raw)
    (record,) = read(path)
    assert record.defect is not None
    assert record.defect.reason == "damaged_entry"


def test_an_unknown_compression_is_a_defect(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"a.cif": NACL})
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"PK\x01\x02") + 10] = 99
    raw[8] = 99
    path.write_bytes(raw)
    assert reasons(read(path)) == {"a.cif": "damaged_entry"}


def test_names_that_occur_twice_get_a_number_and_tell_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    for i in range(3):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{i}.cif", cif(f"x{i}"))
    path.write_bytes(path.read_bytes().replace(b"1.cif", b"0.cif").replace(b"2.cif", b"0.cif"))
    found = read(path)
    assert [record.source_id for record in found] == ["0.cif", "0.cif~2", "0.cif~3"]
    assert [record.text.split()[0] for record in found] == ["data_x0", "data_x1", "data_x2"]
    assert found[2].source_metadata == {"duplicate_of": "0.cif"}


def test_densities_lie_in_the_archive_or_beside_it(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"a.cif": NACL, "b.cif": NACL, "c.cif": NACL, "rho/a.cube.gz": b""})
    (tmp_path / "rho").mkdir()
    (tmp_path / "rho/b.cube.gz").touch()
    a, b, c = read(path, density="rho/{stem}.cube.gz")
    assert a.density is not None
    assert (a.density.path, a.density.member, a.density.format) == (path, "rho/a.cube.gz", "cube")
    assert b.density is not None
    assert (b.density.path, b.density.member) == (tmp_path / "rho/b.cube.gz", None)
    assert c.density is None


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_what_is_no_zip_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CatalogError, match="cannot be read as a zip archive"):
        read(path)


def test_a_truncated_zip_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = make(tmp_path / "cut.zip", {"a.cif": NACL, "b.cif": NACL})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CatalogError, match=r"cut\.zip"):
        read(path)


def test_entries_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a.zip", {f"{i}.cif": NACL for i in range(200)})
    opened: list[str] = []
    original = zipfile.ZipFile.open

    def watched(self: zipfile.ZipFile, entry: zipfile.ZipInfo) -> object:
        opened.append(entry.filename)
        return original(self, entry)

    monkeypatch.setattr(zipfile.ZipFile, "open", watched)
    records = open_catalog(ZipCatalog(path=path))
    assert [next(records).source_id for _ in range(2)] == ["0.cif", "1.cif"]
    assert opened == ["0.cif", "1.cif"]
    records.close()  # type: ignore[attr-defined]


def test_an_archive_written_on_windows_with_backslashes_is_read(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("dirXa.cif", NACL)
    (tmp_path / "a.zip").write_bytes(raw.getvalue().replace(b"dirXa.cif", b"dir\\a.cif"))
    assert [record.source_id for record in read(tmp_path / "a.zip")] == ["dir/a.cif"]
