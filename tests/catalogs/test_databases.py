"""Databases of ASE and fairchem, which those programs wrote, and files that pretend to be some."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalogs.config import TableCatalog
from catalogs.errors import CatalogError, NoStructuresError
from catalogs.lmdb_file import DamagedLmdbError, LargeValue, entries
from catalogs.open import guess_catalog, open_catalog
from catalogs.record import Record
from curation.curate import curate_record
from curation.settings import CurationSettings
from tests.curation.cells import HALITE, SET, ase_database, cif

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = CurationSettings()
PAGE = 4096


def golden(name: str) -> bytes:
    return gzip.decompress((GOLDEN / f"{name}.gz").read_bytes())


def put(folder: Path, name: str, content: bytes | None = None) -> Path:
    path = folder / name
    path.write_bytes(golden(name) if content is None else content)
    return path


def read(path: Path, **options: Any) -> list[Record]:
    return list(open_catalog(TableCatalog(path=path, **options)))


def told(records: list[Record]) -> list[tuple[str, str]]:
    return [(r.source_id, r.defect.reason if r.defect else r.format) for r in records]


@pytest.mark.parametrize("name", ["ase.db", "ase.json", "fairchem.aselmdb"])
def test_every_row_of_a_real_database_is_read(tmp_path: Path, name: str) -> None:
    found = list(open_catalog(guess_catalog(put(tmp_path, name))))
    prefix = f"{name}#" if name == "ase.json" else ""
    assert [record.source_id for record in found] == [f"{prefix}{i}" for i in range(1, 9)]
    assert found[1].source_metadata.items() >= {"title": "quartz", "gap": "1.5"}.items()
    assert found[4].source_metadata.items() >= {"title": "magnetic", "energy": "-1.5", "stable": "True"}.items()
    assert "user" not in found[0].source_metadata
    verdicts = [curate_record(record, SETTINGS) for record in found]
    for verdict, cell in zip(verdicts, SET.values(), strict=False):
        expected = curate_record(Record("s", "x", cif(cell), "x", "", format="cif"), SETTINGS)
        assert (verdict.structure_hash, verdict.space_group) == (expected.structure_hash, expected.space_group)
    remarks = [(v.reason, v.warnings) for v in verdicts[4:]]
    assert remarks == [
        ("", ("magnetic",)),
        ("", ("charges_ignored",)),
        ("", ("constraints_ignored",)),
        ("not_periodic", ()),
    ]


def test_the_three_kinds_have_the_same_records(tmp_path: Path) -> None:
    texts = [[json.loads(r.text) for r in read(put(tmp_path, name))] for name in ("ase.db", "fairchem.aselmdb")]
    assert texts[0] == texts[1]


def test_rows_are_named_by_a_key(tmp_path: Path) -> None:
    path = put(tmp_path, "ase.db")
    assert [r.source_id for r in read(path, id_column="title")][:3] == ["halite", "quartz", "triclinic"]
    keys = json.dumps({"material_id": "mp-1"})
    path = put(tmp_path, "own.db", ase_database([HALITE, HALITE], key_value_pairs=keys))
    assert [r.source_id for r in read(path)] == ["mp-1", "mp-1~2"]
    assert [r.origin for r in read(path)] == [f"{path}!row 1", f"{path}!row 2"]
    with pytest.raises(CatalogError, match=r"has no key 'titel'.*found 'material_id'"):
        read(path, id_column="titel")
    with pytest.raises(CatalogError, match="remove structure_column"):
        read(path, structure_column="cif")


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = put(tmp_path, "pickles.lmdb")
    with pytest.raises(CatalogError, match=r"holds Python pickles.*\.aselmdb.*ase.io.write"):
        read(path)
    assert told(list(open_catalog(guess_catalog(tmp_path)))) == [("pickles.lmdb", "unsafe_file")]


def test_other_databases_are_an_error_alone_and_skipped_in_a_folder(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    put(tmp_path, "Thumbs.db", b"\xd0\xcf\x11\xe0" * 100)
    put(tmp_path, "empty.lmdb", b"")
    for name, words in (
        ("other.db", "no table `systems`"),
        ("Thumbs.db", "no database that is read"),
        ("empty.lmdb", "no database that is read"),
    ):
        with pytest.raises(NoStructuresError, match=words):
            read(tmp_path / name)
    put(tmp_path, "ase.db")
    assert len(list(open_catalog(guess_catalog(tmp_path)))) == 8


def test_a_database_in_use_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "ase.db")
    put(tmp_path, "ase.db-wal", b"x")
    with pytest.raises(CatalogError, match=r"ase\.db-wal holds changes that are not yet in the database"):
        read(path)


def hostile(statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.executescript(statements)
    content = bytes(connection.serialize())
    connection.close()
    return content


COLUMNS = "numbers BLOB, positions BLOB, cell BLOB, pbc INTEGER"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x"


def test_a_view_that_never_ends_is_no_table(tmp_path: Path) -> None:
    columns = ", ".join(f"x AS {name}" for name in ("numbers", "positions", "cell", "pbc"))
    path = put(tmp_path, "x.db", hostile(f"CREATE VIEW systems AS {ENDLESS}, {columns} FROM n"))
    with pytest.raises(CatalogError, match="no plain table"):
        read(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("x'0b000000', x'00', x'00', 7", "damaged_entry"),
        ("'text', 'text', 'text', 'text'", "damaged_entry"),
        ("NULL, NULL, NULL, NULL", "no_structure"),
        ("1, 2.5, 3, 7", "damaged_entry"),
        ("zeroblob(40000000), x'', x'', 7", "damaged_entry"),
        ("x'', x'', x'', 7", "json"),
    ],
)
def test_rows_that_are_no_structures_are_rows_with_a_reason(tmp_path: Path, values: str, reason: str) -> None:
    sql = f"CREATE TABLE systems (id INTEGER PRIMARY KEY, {COLUMNS}); INSERT INTO systems VALUES (1, {values});"
    good = "x'0b000000', zeroblob(24), zeroblob(72), 7"
    path = put(tmp_path, "x.db", hostile(sql + f"INSERT INTO systems VALUES (2, {good});"))
    tracemalloc.start()
    found = read(path, max_file_MB=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [kind for _, kind in told(found)] == [reason, "json"]
    assert peak < 10_000_000
    assert all(curate_record(record, SETTINGS).reason not in ("", "internal_error") for record in found)


def test_a_column_that_hides_the_number_of_a_row(tmp_path: Path) -> None:
    sql = f"CREATE TABLE systems (rowid TEXT, {COLUMNS}); INSERT INTO systems VALUES ('x', x'', x'', x'', 7);"
    assert told(read(put(tmp_path, "x.db", hostile(sql)))) == [("x.db", "damaged_source")]


def test_cells_that_are_computed_without_end_are_given_up(tmp_path: Path) -> None:
    deep = "abs(" * 20 + "hex(zeroblob(900000))" + ")" * 20
    sql = f"CREATE TABLE systems (id INTEGER PRIMARY KEY, {COLUMNS}, energy REAL GENERATED ALWAYS AS ({deep}));"
    path = put(tmp_path, "x.db", hostile(sql + "INSERT INTO systems VALUES (1, x'', x'', x'', 7);"))
    assert len(read(path)) == 1


def changed(content: bytes, seed: int) -> bytes:
    """Return content with some bytes changed, and sometimes cut."""
    chance = np.random.default_rng(seed)
    raw = bytearray(content)
    for _ in range(int(chance.integers(1, 30))):
        at, length = int(chance.integers(len(raw))), int(chance.integers(1, 8))
        raw[at : at + length] = chance.bytes(length)
    return bytes(raw if seed % 4 else raw[: int(chance.integers(len(raw) * 9 // 10, len(raw) + 1))])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ase.db", {"CatalogError", "json", "damaged_entry"}),
        ("fairchem.aselmdb", {"CatalogError", "json", "damaged_entry", "damaged_source"}),
    ],
)
def test_damage_is_an_error_or_rows_with_a_reason(tmp_path: Path, name: str, expected: set[str]) -> None:
    content = golden(name)
    outcomes = set()
    for seed in range(120):
        path = put(tmp_path, name, changed(content, seed))
        try:
            outcomes |= {kind for _, kind in told(read(path))}
        except CatalogError as error:
            outcomes.add(type(error).__name__)
        found = told(list(open_catalog(guess_catalog(tmp_path))))
        assert len(found) < 1000
    assert expected <= outcomes


def test_rows_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    """An inner page whose children are all its first one."""
    raw = bytearray(ase_database([HALITE] * 60))
    size = int.from_bytes(raw[16:18], "big")
    with sqlite3.connect(":memory:") as connection:
        connection.deserialize(bytes(raw))
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'systems'").fetchone()[0]
    connection.close()
    start = (root - 1) * size
    assert raw[start] == 5, "an inner page of a table"
    n_cells = int.from_bytes(raw[start + 3 : start + 5], "big")
    first = int.from_bytes(raw[start + 12 : start + 14], "big")
    child = bytes(raw[start + first : start + first + 4])
    for cell in range(n_cells):
        at = int.from_bytes(raw[start + 12 + 2 * cell : start + 14 + 2 * cell], "big")
        raw[start + at : start + at + 4] = child
    found = told(read(put(tmp_path, "x.db", bytes(raw))))
    assert found[-1] == ("x.db", "damaged_source")
    assert len(found) < 60


@pytest.mark.parametrize(("n", "largest"), [(50, 10), (5000, 30), (40, 20_000)])
def test_files_of_the_lmdb_library_are_read(tmp_path: Path, n: int, largest: int) -> None:
    lmdb_library = pytest.importorskip("lmdb")
    chance = np.random.default_rng(n)
    expected: dict[bytes, bytes] = {}
    with lmdb_library.open(str(tmp_path / "x.lmdb"), subdir=False, map_size=1 << 26) as opened:
        for _ in range(3):  # pages are freed and used again
            with opened.begin(write=True) as transaction:
                for key in map(str, chance.integers(10**7, size=n)):
                    value = chance.bytes(int(chance.integers(largest)))
                    transaction.put(key.encode(), value)
                    expected[key.encode()] = value
                for gone in list(expected)[::7]:
                    transaction.delete(gone)
                    del expected[gone]
    assert lmdb((tmp_path / "x.lmdb").read_bytes()) == sorted(expected.items())


def lmdb(content: bytes) -> list[tuple[bytes, bytes | LargeValue]]:
    return list(entries(io.BytesIO(content), 1_000_000))


def leaf_of(content: bytes) -> int:
    """Return the first page with entries of the newest tree."""
    root = max((struct.unpack_from("<QQQ", content, at + 128) for at in (0, PAGE)), key=lambda found: found[2])[0]
    return int(root) * PAGE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw, leaf: raw.__setitem__(slice(16, 20), b"\0" * 4), "not those of an LMDB file"),
        (lambda raw, leaf: raw.__setitem__(slice(40, 44), b"\0\0\0\1"), "pages of 16777216 bytes"),
        (lambda raw, leaf: raw.__setitem__(slice(leaf, leaf + 8), b"\xff" * 8), "has the header of page"),
        (lambda raw, leaf: raw.__setitem__(slice(leaf + 10, leaf + 12), b"\x40\0"), "neither branch nor leaf"),
        (lambda raw, leaf: raw.__setitem__(slice(leaf + 16, leaf + 18), b"\xff\xff"), "an entry leads out of page"),
        (lambda raw, leaf: raw.__setitem__(slice(leaf + 12, leaf + 14), b"\xff\xff"), "or a wrong size"),
        (lambda raw, leaf: raw.__delitem__(slice(leaf, None)), "outside the file"),
    ],
)  # fmt: skip
def test_pages_that_contradict_each_other_are_told(change: Callable[[bytearray, int], None], words: str) -> None:
    content = bytearray(golden("fairchem.aselmdb"))
    assert len(lmdb(bytes(content))) == 10
    change(content, leaf_of(bytes(content)))
    with pytest.raises(DamagedLmdbError, match=words):
        lmdb(bytes(content))


def test_a_branch_that_leads_to_itself_ends() -> None:
    content = bytearray(golden("fairchem.aselmdb"))
    leaf = leaf_of(bytes(content))
    number = leaf // PAGE
    node = struct.pack("<HHHH", number & 0xFFFF, number >> 16, 0, 0)
    content[leaf : leaf + PAGE] = (
        struct.pack("<QHHHHHH", number, 0, 0x01, 20, 40, 24, 24) + bytes(4) + node + bytes(PAGE - 32)
    )
    with pytest.raises(DamagedLmdbError, match=r"circle|neither branch nor leaf"):
        lmdb(bytes(content))


def test_values_are_read_to_the_limit(tmp_path: Path) -> None:
    bomb = zlib.compress(b"[" * 50_000_000)
    content = golden("fairchem.aselmdb")
    row = next(value for key, value in lmdb(content) if key == b"1")
    assert isinstance(row, bytes)
    small = [value for _, value in entries(io.BytesIO(content), 100) if isinstance(value, LargeValue)]
    assert len(small) == 8
    from catalogs.databases import _lmdb_piece

    tracemalloc.start()
    defect = _lmdb_piece(b"1", bomb, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 1 MB after decompression" in str(defect)
    assert peak < 5_000_000
    for value in (
        b"hello",
        row[:-9],
        zlib.compress(b"[" * 100_000),
        zlib.compress(b"7"),
        zlib.compress(b'{"cell": 1}'),
    ):
        assert "row 1" in str(_lmdb_piece(b"1", value, 1_000_000))


def test_databases_in_archives_are_read_in_memory(tmp_path: Path) -> None:
    import tarfile
    import zipfile

    names = ("ase.db", "fairchem.aselmdb", "pickles.lmdb")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for name in names:
            archive.writestr(f"in/{name}", golden(name))
            entry = tarfile.TarInfo(f"in/{name}")
            entry.size = len(golden(name))
            tar.addfile(entry, io.BytesIO(golden(name)))
    expected = [(f"in/{name}#{i}", "json") for name in names[:2] for i in range(1, 9)]
    expected.append(("in/pickles.lmdb", "unsafe_file"))
    for name in ("a.zip", "a.tar.gz"):
        assert told(list(open_catalog(guess_catalog(tmp_path / name)))) == expected
    prefixed = [(f"{archive}!{name}", kind) for archive in ("a.tar.gz", "a.zip") for name, kind in expected]
    assert told(list(open_catalog(guess_catalog(tmp_path)))) == prefixed
