"""Files of every format, one structure or many, in folders, archives and tables."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from catalogs.formats import format_of_text
from catalogs.names import format_of, stem
from catalogs.open import guess_catalog, open_catalog
from catalogs.record import Record
from curation.table import record_to_row, write_records
from tests.catalogs.cifs import NACL

POSCAR = "salt\n1.0\n0 2.8 2.8\n2.8 0 2.8\n2.8 2.8 0\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
FRAME = '2\nLattice="0 2.8 2.8 2.8 0 2.8 2.8 2.8 0" Properties=species:S:1:pos:R:3\nNa 0 0 0\nCl 2.8 2.8 2.8\n'
MATRIX = [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]]
OPTIMADE = {
    "lattice_vectors": MATRIX,
    "cartesian_site_positions": [[0, 0, 0], [2.8, 2.8, 2.8]],
    "species_at_sites": ["Na", "Cl"],
}
PYMATGEN = {
    "@class": "Structure",
    "lattice": {"matrix": MATRIX},
    "sites": [{"species": [{"element": e, "occu": 1}], "abc": [x] * 3} for e, x in (("Na", 0), ("Cl", 0.5))],
}
ASE = {"cell": MATRIX, "numbers": [11, 17], "positions": [[0, 0, 0], [2.8, 2.8, 2.8]], "pbc": [True] * 3}


def read(path: Path) -> list[Record]:
    return list(open_catalog(guess_catalog(path)))


def told(records: list[Record]) -> list[tuple[str, str]]:
    return [(r.source_id, r.defect.reason if r.defect else r.format) for r in records]


FILES = {
    "a.cif": NACL,
    "b/POSCAR": POSCAR,
    "b/CONTCAR-2.gz": POSCAR,
    "b/mp-1.vasp": POSCAR,
    "c.extxyz": FRAME * 2,
    "d.json": json.dumps(PYMATGEN),
    "e.json.gz": json.dumps([OPTIMADE, {"material_id": "mp-5", "structure": PYMATGEN, "gap": 1.5}, 7]),
    "f.jsonl": "\n".join(json.dumps({"id": f"x{i}", "cif": NACL}) for i in range(2)),
    "notes.json": '{"author": "me"}',
    "versions.json": '[{"name": "a"}, 7]',
    "x/cut.json": json.dumps([OPTIMADE, OPTIMADE])[:-40],
    "x/deep.json": "[" * 200_000,
    "CHGCAR": POSCAR,
    "readme.txt": "no structure",
}
EXPECTED = [
    ("a.cif", "cif"),
    ("b/CONTCAR-2.gz", "poscar"),
    ("b/mp-1.vasp", "poscar"),
    ("b/POSCAR", "poscar"),
    ("c.extxyz#1", "extxyz"),
    ("c.extxyz#2", "extxyz"),
    ("d.json", "json"),
    ("e.json.gz#1", "json"),
    ("e.json.gz#mp-5", "json"),
    ("e.json.gz#3", "no_structure"),
    ("f.jsonl#x0", "cif"),
    ("f.jsonl#x1", "cif"),
    ("x/cut.json", "bad_json"),
    ("x/deep.json", "bad_json"),
]


def content(name: str) -> bytes:
    raw = FILES[name].encode()
    return gzip.compress(raw) if name.endswith(".gz") else raw


def test_a_folder_of_every_format(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content(name))
    found = read(tmp_path)
    assert told(found) == EXPECTED
    assert found[8].source_metadata == {"material_id": "mp-5", "gap": "1.5"}
    assert found[1].text == POSCAR


def test_archives_of_every_format(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive, tarfile.open(tmp_path / "all.tgz", "w:gz") as tar:
        for name in FILES:
            archive.writestr(name, content(name))
            entry = tarfile.TarInfo(name)
            entry.size = len(content(name))
            tar.addfile(entry, io.BytesIO(content(name)))
    assert told(read(tmp_path / "all.zip")) == EXPECTED
    assert sorted(told(read(tmp_path / "all.tgz"))) == sorted(EXPECTED)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"data": [{"id": "p/1", "type": "structures", "attributes": OPTIMADE}], "meta": {}}, [("x.json", "json")]),
        ({"data": {"id": "p/1", "type": "structures", "attributes": OPTIMADE}}, [("x.json", "json")]),
        (
            {"index": ["mb-1", "mb-2"], "columns": ["structure", "gap"], "data": [[PYMATGEN, 1.0], [PYMATGEN]]},
            [("x.json#mb-1", "json"), ("x.json#2", "no_structure")],
        ),
        (
            {"index": ["mb-1"], "columns": ["structure"], "data": [[PYMATGEN], [PYMATGEN]]},
            [("x.json#0", "json"), ("x.json#1", "json")],
        ),
        ({"index": 7, "columns": ["structure"], "data": [[PYMATGEN]]}, [("x.json", "json")]),
        ({"1": ASE, "3": ASE, "ids": [1, 3], "nextid": 5}, [("x.json#1", "json"), ("x.json#3", "json")]),
        ({"structure": NACL, "id": 7}, [("x.json", "cif")]),
        ([{"poscar": POSCAR, "name": "salt"}, {"poscar": POSCAR}], [("x.json#salt", "poscar"), ("x.json#2", "poscar")]),
        ({"author": "me"}, [("x.json", "no_structure")]),
        ("text", [("x.json", "no_structure")]),
    ],
)  # fmt: skip
def test_json_of_many_habits(tmp_path: Path, content: Any, expected: list[tuple[str, str]]) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert told(read(tmp_path / "x.json")) == expected


def test_halves_of_surrogate_pairs_can_be_stored(tmp_path: Path) -> None:
    half = "\ud800"
    entries = [{"id": half, half: half, "cif": NACL + half}, {"id": half, **OPTIMADE, "note": half}, {half: half}]
    (tmp_path / "x.json").write_text(json.dumps(entries))
    found = read(tmp_path / "x.json")
    assert [kind for _, kind in told(found)] == ["cif", "json", "no_structure"]
    write_records([record_to_row(record) for record in found], tmp_path / "records.parquet")


@pytest.mark.parametrize("count", ["²", "9" * 5000, "-1", "1e3"])
def test_a_number_of_atoms_that_is_none(tmp_path: Path, count: str) -> None:
    (tmp_path / "x.xyz").write_text(FRAME + FRAME.replace("2", count, 1))
    assert told(read(tmp_path / "x.xyz")) == [("x.xyz#1", "extxyz"), ("x.xyz#2", "no_structure")]


@pytest.mark.parametrize("line", ["a={ ", "a=[ ", 'a="', "a=' ", "a ", "a", "a=", 'a="\\'])
def test_lines_that_are_never_closed_take_no_longer(tmp_path: Path, line: str) -> None:
    for length in (400, 400_000):
        (tmp_path / "x.xyz").write_text(f"1\n{line * (length // len(line))}\nNa 0 0 0\n")
        assert len(read(tmp_path / "x.xyz")) == 1


@pytest.mark.parametrize("depth", [100, 900, 940, 960, 980, 990, 2000])
def test_structures_that_are_nested_deeply_are_rows_or_refused(tmp_path: Path, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    nested = '{"array":' * depth + "1" + "}" * depth
    (tmp_path / "a.json").write_text(json.dumps(PYMATGEN)[:-1] + f', "properties": {deep}}}')
    (tmp_path / "b.json").write_text('{"ids": [1], "1": ' + json.dumps(ASE)[:-1] + f', "constraints": {nested}}}}}')
    assert {kind for _, kind in told(read(tmp_path))} <= {"json", "bad_json"}
    assert len(read(tmp_path)) == 2


def test_frames_that_break_off_keep_those_before(tmp_path: Path) -> None:
    (tmp_path / "x.xyz").write_text(FRAME + FRAME[:-20])
    assert told(read(tmp_path / "x.xyz")) == [("x.xyz#1", "extxyz"), ("x.xyz#2", "truncated_text")]
    (tmp_path / "x.xyz").write_text(FRAME + "hello\n")
    assert told(read(tmp_path / "x.xyz")) == [("x.xyz#1", "extxyz"), ("x.xyz#2", "no_structure")]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_table_with_optimade_s_columns(tmp_path: Path, suffix: str) -> None:
    """The layout of LeMat-Bulk and of exports of Alexandria and OQMD."""
    rows = [{"immutable_id": f"agm{i}", **OPTIMADE, "chemical_formula_reduced": "ClNa"} for i in range(70)]
    table = pa.Table.from_pylist(rows)
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        pyarrow.feather.write_feather(table, path)
    found = read(path)
    assert (len(found), found[69].source_id, found[69].format) == (70, "agm69", "json")
    assert json.loads(found[0].text) == OPTIMADE
    assert found[0].source_metadata == {"immutable_id": "agm0", "chemical_formula_reduced": "ClNa"}


def test_a_table_s_column_may_hold_any_format(tmp_path: Path) -> None:
    texts = [NACL, POSCAR, FRAME, json.dumps(PYMATGEN), json.dumps(OPTIMADE), "", "hello"]
    pq.write_table(pa.table({"material_id": [f"m{i}" for i in range(7)], "structure": texts}), tmp_path / "t.parquet")
    kinds = ["cif", "poscar", "extxyz", "json", "json", "empty_file", "no_data_block"]
    assert told(read(tmp_path / "t.parquet")) == [(f"m{i}", kind) for i, kind in enumerate(kinds)]


def test_names_and_contents_are_recognised() -> None:
    for name in ("POSCAR", "a/CONTCAR", "POSCAR.gz", "x.POSCAR", "Fe-POSCAR-12", "mp_1.vasp", "POSCAR_relaxed"):
        assert format_of(name) == "poscar", name
    for name in (
        "CHGCAR",
        "OUTCAR",
        "POSCARs.md",
        "disposcar",
        "x.cube",
        "INCAR",
        "poscars",
        "POSCAR.csv",
        "POSCAR.zip",
        "CONTCAR.tar.gz",
    ):
        assert format_of(name) is None, name
    assert [stem(name) for name in ("a/x.vasp", "x.json.gz", "x.extxyz", "POSCAR")] == ["x", "x", "x", "POSCAR"]
    texts = {NACL: "cif", POSCAR: "poscar", FRAME: "extxyz", "{}": "json", "": "cif"}
    assert [format_of_text(text) for text in texts] == list(texts.values())
