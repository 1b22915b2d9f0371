"""A folder yields a record for every data block in it, whatever lies there."""

from __future__ import annotations

import errno
import gzip
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from catalogs import folder
from catalogs.config import FolderCatalog
from catalogs.errors import CatalogError
from catalogs.open import open_catalog
from catalogs.record import Record
from tests.catalogs.cifs import NACL, cif


def read(path: Path, **options: object) -> list[Record]:
    return list(open_catalog(FolderCatalog.model_validate({"path": path, "name": "f", **options})))


def reasons(records: list[Record]) -> dict[str, str]:
    return {record.source_id: record.defect.reason if record.defect else "" for record in records}


def test_files_come_in_natural_order_with_paths_as_ids(tmp_path: Path) -> None:
    for name in ("10.cif", "2.cif", "b/c.cif", "a dir/Ünï côdé.CIF", "z.mcif", "README.txt", "notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(NACL)
    found = read(tmp_path, licence="CC0-1.0")
    assert [record.source_id for record in found] == ["2.cif", "10.cif", "a dir/Ünï côdé.CIF", "b/c.cif", "z.mcif"]
    assert all(record.text == NACL and record.licence == "CC0-1.0" and record.source == "f" for record in found)
    assert found[2].origin == str(tmp_path / "a dir/Ünï côdé.CIF")


def test_several_blocks_are_several_records_named_by_block_or_number(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(cif("x") + cif("y"))
    (tmp_path / "b.cif").write_text(cif("x") + cif("X") + cif("y"))
    (tmp_path / "c.cif").write_text(cif("") + cif("y"))
    assert [record.source_id for record in read(tmp_path)] == [
        "a.cif#x", "a.cif#y", "b.cif#1", "b.cif#2", "b.cif#3", "c.cif#1", "c.cif#y",
    ]  # fmt: skip


def test_every_poor_file_is_a_record_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "binary.cif").write_bytes(b"\x00\x01\x02")
    (tmp_path / "broken.cif.gz").write_bytes(gzip.compress(NACL.encode())[:-20])
    (tmp_path / "cut.cif").write_text("data_x\n_text\n;never closed\n")
    (tmp_path / "empty.cif").touch()
    (tmp_path / "good.cif").write_text(NACL)
    (tmp_path / "html.cif").write_text("<html>not found</html>")
    (tmp_path / "inner.zip").write_bytes(b"PK")
    (tmp_path / "inner.7z").write_bytes(b"7z")
    (tmp_path / "large.cif").write_text(NACL + "#" * 20_000)
    (tmp_path / "link.cif").symlink_to(tmp_path / "nowhere")
    (tmp_path / "packed.cif.gz").write_bytes(gzip.compress(NACL.encode()))
    (tmp_path / "bomb.cif.gz").write_bytes(gzip.compress(bytes(30_000)))
    (tmp_path / "plain.cif.gz").write_text(NACL)
    assert reasons(read(tmp_path, max_file_MB=0.01)) == {
        "binary.cif": "binary_file",
        "bomb.cif.gz": "too_large",
        "broken.cif.gz": "damaged_entry",
        "cut.cif": "truncated_text",
        "empty.cif": "empty_file",
        "good.cif": "",
        "html.cif": "no_data_block",
        "inner.7z": "nested_archive",
        "inner.zip": "damaged_source",
        "large.cif": "too_large",
        "link.cif": "unreadable_file",
        "packed.cif.gz": "",
        "plain.cif.gz": "damaged_entry",
    }


def test_a_file_of_100_MB_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge.cif").open("wb") as stream:
        stream.truncate(100_000_000)
    (record,) = read(tmp_path)
    assert record.defect is not None
    assert record.defect.reason == "too_large"
    assert "100 MB" in record.defect.detail


def test_a_file_of_nothing_but_headings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "many.cif").write_text("data_a\n" * 100_001)
    assert reasons(read(tmp_path)) == {"many.cif": "too_large"}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.cif")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.cif"))
    assert reasons(read(tmp_path)) == {"pipe.cif": "unreadable_file", "socket.cif": "unreadable_file"}


def test_a_file_that_the_system_will_not_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.cif").write_text(NACL)
    opened = Path.open

    def refuse(self: Path, *args: object, **options: object) -> object:
        if self.name == "a.cif":
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    (record,) = read(tmp_path)
    assert record.defect is not None
    assert (record.defect.reason, record.defect.detail) == ("unreadable_file", "Permission denied")


def test_a_subfolder_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "z.cif").write_text(NACL)
    listed = os.scandir

    def refuse(path: Path) -> object:  # a mode would not keep root out
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert reasons(read(tmp_path)) == {"shut": "unreadable_file", "z.cif": ""}
    with pytest.raises(CatalogError, match="Permission denied"):
        read(tmp_path / "shut")


def test_hidden_files_and_shadow_folders_are_passed_over(tmp_path: Path) -> None:
    for name in (".a.cif", "._b.cif", "__MACOSX/c.cif", ".git/d.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(NACL)
    assert read(tmp_path) == []


def test_linked_folders_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "a.cif").write_text(NACL)
    (inside / "loop").symlink_to(inside)
    (inside / "there").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    assert [record.source_id for record in read(inside)] == ["there/a.cif"]


def test_latin_1_is_accepted_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_bytes(cif("a").encode() + "_author 'Müller'\n".encode("latin-1"))
    (record,) = read(tmp_path)
    assert record.source_metadata == {"encoding": "latin-1"}
    assert "Müller" in record.text


def test_a_file_name_that_is_not_utf_8_can_be_stored(tmp_path: Path) -> None:
    (tmp_path / b"caf\xe9.cif".decode("utf-8", "surrogateescape")).write_text(NACL)
    (record,) = read(tmp_path)
    assert record.source_id == "caf\\xe9.cif"
    record.origin.encode()


def test_a_single_file_is_a_catalog(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text(NACL)
    (record,) = read(tmp_path / "x.cif")
    assert (record.source_id, record.text) == ("x.cif", NACL)


def test_densities_are_found_by_their_pattern(tmp_path: Path) -> None:
    for name in ("a.cif", "sub/b.cif", "lonely.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(NACL)
    (tmp_path / "two.cif").write_text(cif("p") + cif("q"))
    for name in ("d/./a.CHGCAR.gz", "d/sub/b.CHGCAR.gz", "d/./two.CHGCAR.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = {record.source_id: record for record in read(tmp_path, density="d/{folder}/{stem}.CHGCAR.gz")}
    density = found["a.cif"].density
    assert density is not None
    assert (density.path, density.format) == (tmp_path / "d/a.CHGCAR.gz", "chgcar")
    assert found["sub/b.cif"].density is not None
    assert found["lonely.cif"].density is None
    assert found["lonely.cif"].source_metadata == {"density_note": "none found"}
    assert found["two.cif#p"].density is None
    assert found["two.cif#p"].source_metadata == {"density_note": "several data blocks"}


def test_densities_of_several_blocks_are_found_by_block(tmp_path: Path) -> None:
    (tmp_path / "two.cif").write_text(cif("p") + cif("q"))
    (tmp_path / "p.cube").touch()
    p, q = read(tmp_path, density="{block}.cube")
    assert p.density is not None
    assert p.density.format == "cube"
    assert q.density is None


def test_a_block_s_name_cannot_choose_the_folder_of_its_density(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "rho").mkdir(parents=True)
    (tmp_path / "secret.cube").touch()
    (inside / "a.cif").write_text(cif("../../secret"))
    (record,) = read(inside, density="rho/{block}.cube")
    assert record.density is None


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(300):
        (tmp_path / f"{i}.cif").write_text(NACL)
    opened: list[str] = []
    original = folder.read_file
    monkeypatch.setattr(folder, "read_file", lambda path, limit: opened.append(path.name) or original(path, limit))
    records = open_catalog(FolderCatalog(path=tmp_path))
    assert opened == []
    first = [next(records).source_id for _ in range(3)]
    assert first == opened == ["0.cif", "1.cif", "2.cif"]


def test_a_folder_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no such folder.*expected.*found .*missing"):
        read(tmp_path / "missing")


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first half of a file that is being copied may be a valid CIF with atoms missing."""
    written = tmp_path / "a.cif"
    written.write_text("data_x\n_cell_length_a 1\n")
    read_now = folder.read_bounded

    def read_while_written(*arguments: Any) -> Any:
        raw = read_now(*arguments)
        with written.open("a") as more:
            more.write("_cell_length_b 1\n")
        return raw

    monkeypatch.setattr(folder, "read_bounded", read_while_written)
    (record,) = read(tmp_path)
    assert record.defect is not None
    assert record.defect.detail == "changed while it was read"
    monkeypatch.undo()
    (record,) = read(tmp_path)
    assert record.defect is None


def test_a_folder_that_changes_while_it_is_read_gives_a_row_for_every_file_listed(tmp_path):
    for name in ("a.cif", "b.cif", "c/d.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("data_x\n_cell_length_a 1\n")
    found = folder.records(FolderCatalog.model_validate({"path": tmp_path}))
    first = next(found)
    (tmp_path / "b.cif").unlink()
    (tmp_path / "late.cif").write_text("data_late\n")
    (tmp_path / "c/d.cif").unlink()
    (tmp_path / "c").rmdir()
    rest = list(found)
    assert first.source_id == "a.cif"
    assert [(r.source_id, r.defect.detail) for r in rest] == [
        ("b.cif", "removed while the folder was read"),
        ("c", "folder cannot be listed: No such file or directory"),
    ]


def test_a_machine_that_fails_says_nothing_about_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.cif").write_text("data_a")
    real = Path.open

    def failing(path: Path, *given: Any, **named: Any) -> Any:
        if path.name == "a.cif":
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(OSError, match="Stale file handle"):
        read(tmp_path)
