"""A tar archive is read in one pass; where it breaks off, what came before is kept and the break is told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogs.config import TarCatalog
from catalogs.errors import CatalogError
from catalogs.open import open_catalog
from catalogs.record import Record
from tests.catalogs.cifs import NACL, cif

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "a.tar": lambda raw: raw,
    "a.tar.gz": gzip.compress,
    "a.tgz": gzip.compress,
    "a.tar.bz2": bz2.compress,
    "a.tar.xz": lzma.compress,
}


def tar_of(entries: dict[str, bytes], *special: tarfile.TarInfo) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in special:
            archive.addfile(member)
    return raw.getvalue()


def read(path: Path, **options: object) -> list[Record]:
    return list(open_catalog(TarCatalog.model_validate({"path": path, "name": "t", **options})))


def reasons(records: list[Record]) -> dict[str, str]:
    return {record.source_id: record.defect.reason if record.defect else "" for record in records}


THREE = {"b.cif": cif("b").encode(), "./a dir/ä.cif": cif("a").encode(), "c.cif": cif("c").encode()}


@pytest.mark.parametrize("name", PACKERS)
def test_members_come_in_the_archive_s_order_under_any_compression(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKERS[name](tar_of(THREE)))
    found = read(tmp_path / name)
    assert [record.source_id for record in found] == ["b.cif", "a dir/ä.cif", "c.cif"]
    assert found[0].text == cif("b")
    assert found[1].origin == f"{tmp_path / name}!a dir/ä.cif"


def test_the_compression_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(gzip.compress(tar_of(THREE)))
    assert len(read(tmp_path / "a.tar")) == 3


def test_a_gzip_file_of_several_parts_is_read_to_its_end(tmp_path: Path) -> None:
    raw = tar_of(THREE)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(raw[:1000]) + gzip.compress(raw[1000:]))
    assert len(read(tmp_path / "a.tar.gz")) == 3


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


def test_links_devices_escapes_and_archives_inside_are_refused(tmp_path: Path) -> None:
    before = set(tmp_path.parent.rglob("*"))
    (tmp_path / "a.tar").write_bytes(
        tar_of(
            {
                "../up.cif": b"x",
                "/abs.cif": b"x",
                "in.zip": b"PK",
                "__MACOSX/x.cif": b"x",
                ".y.cif": b"x",
                "z.txt": b"x",
            },
            special("sym.cif", tarfile.SYMTYPE, "/etc/passwd"),
            special("hard.cif", tarfile.LNKTYPE, "z.txt"),
            special("pipe.cif", tarfile.FIFOTYPE),
            special("folder.cif", tarfile.DIRTYPE),
            special("sym.txt", tarfile.SYMTYPE, "/etc/passwd"),
        )
    )
    assert reasons(read(tmp_path / "a.tar")) == {
        "../up.cif": "escaping_entry",
        "/abs.cif": "escaping_entry",
        "in.zip": "nested_archive",
        "sym.cif": "link_entry",
        "hard.cif": "link_entry",
        "pipe.cif": "unreadable_file",
    }
    assert set(tmp_path.parent.rglob("*")) - before == {tmp_path / "a.tar"}


def test_a_large_member_is_refused_by_its_header_and_never_held(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar_of({"zeros.cif": bytes(60_000_000), **THREE})))
    tracemalloc.start()
    found = reasons(read(tmp_path / "a.tar.gz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == {"zeros.cif": "too_large", "b.cif": "", "a dir/ä.cif": "", "c.cif": ""}
    assert peak < 5_000_000


def test_an_archive_that_inflates_beyond_its_limit_is_left(tmp_path: Path) -> None:
    packed = gzip.compress(tar_of({"a.cif": NACL.encode(), "zeros.bin": bytes(30_000_000), "b.cif": NACL.encode()}))
    (tmp_path / "a.tar.gz").write_bytes(packed)
    assert reasons(read(tmp_path / "a.tar.gz", max_inflated_GB=0.01)) == {"a.cif": "", "a.tar.gz": "damaged_source"}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_the_readable_part_of_a_cut_archive_is_kept(tmp_path: Path, name: str) -> None:
    many = {f"{i}.cif": cif(f"x{i}").encode() + b"#" + bytes(f"{i * i * 7919}", "ascii") * 400 for i in range(400)}
    packed = PACKERS[name](tar_of(many))
    (tmp_path / name).write_bytes(packed[: len(packed) * 2 // 3])
    found = read(tmp_path / name)
    assert len(found) > (20 if name != "a.tar.bz2" else 1)
    assert all(record.defect is None for record in found[:-1])
    assert found[-1].defect is not None
    assert (found[-1].defect.reason, found[-1].source_id) == ("damaged_source", name)
    assert f"after {len(found) - 1} members" in found[-1].defect.detail


def test_an_archive_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of(THREE)[:1024])
    assert reasons(read(tmp_path / "a.tar")) == {"b.cif": "", "a.tar": "damaged_source"}


def test_a_damaged_header_in_the_middle_does_not_pass_for_the_end(tmp_path: Path) -> None:
    raw = bytearray(tar_of(THREE))
    raw[1024:1100] = b"\xaa" * 76
    (tmp_path / "a.tar").write_bytes(raw)
    assert reasons(read(tmp_path / "a.tar")) == {"b.cif": "", "a.tar": "damaged_source"}


def test_a_wrong_checksum_of_the_compression_is_noticed(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(tar_of(THREE)))
    raw[-6] ^= 0xFF
    (tmp_path / "a.tar.gz").write_bytes(raw)
    found = reasons(read(tmp_path / "a.tar.gz"))
    assert found.pop("a.tar.gz") == "damaged_source"
    assert set(found.values()) == {""}


@pytest.mark.parametrize("content", [None, b"", b"no tar archive", gzip.compress(b"nor this", mtime=0), b"\x1f\x8bxx"])
def test_what_is_no_tar_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(CatalogError, match=r"a\.tar"):
        read(tmp_path / "a.tar")


def test_an_empty_archive_is_an_empty_catalog(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of({}))
    assert read(tmp_path / "a.tar") == []


def test_members_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    many = {f"{i}.cif": cif(f"x{i}").encode() + b"#" * 5000 for i in range(500)}
    (tmp_path / "a.tar").write_bytes(tar_of(many)[:200_000])
    records = open_catalog(TarCatalog(path=tmp_path / "a.tar"))
    assert [next(records).source_id for _ in range(3)] == ["0.cif", "1.cif", "2.cif"]
    records.close()  # type: ignore[attr-defined]


def test_densities_lie_beside_the_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of(THREE))
    (tmp_path / "b.CHGCAR").touch()
    b, other, _ = read(tmp_path / "a.tar", density="{stem}.CHGCAR")
    assert b.density is not None
    assert b.density.path == tmp_path / "b.CHGCAR"
    assert other.source_metadata == {"density_note": "none found"}


def test_a_member_that_claims_more_than_there_is_ends_the_archive_at_once(tmp_path: Path) -> None:
    """tarfile would read 10^13 bytes that are not there, ten thousand at a time."""
    member = tarfile.TarInfo("b.bin")
    member.size = 10**13
    content = tar_of({"a.cif": NACL.encode()})[:1024]
    (tmp_path / "x.tar").write_bytes(content + member.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    started = time.process_time()
    found = read(tmp_path / "x.tar")
    assert time.process_time() - started < 5
    assert reasons(found) == {"a.cif": "", "x.tar": "damaged_source"}
    assert "ends inside a member" in found[-1].defect.detail  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_giant_header_is_not_taken_into_memory(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type = kind
    header.size = 200_000_000
    content = tar_of({"a.cif": NACL.encode()})[:1024] + header.tobuf(tarfile.GNU_FORMAT)
    with gzip.open(tmp_path / "x.tar.gz", "wb", compresslevel=1) as out:
        out.write(content)
        for _ in range(200):
            out.write(bytes(1_000_000))
    tracemalloc.start()
    found = read(tmp_path / "x.tar.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
    assert reasons(found) == {"a.cif": "", "x.tar.gz": "damaged_source"}
    assert "a header of 200000000 bytes; at most 1000000 are read" in found[-1].defect.detail  # type: ignore[union-attr]
