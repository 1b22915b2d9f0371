"""One set of crystals in every format and container: read back, each is the same crystal."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from catalogs.ase_sqlite import pieces
from catalogs.open import guess_catalog, open_catalog
from catalogs.record import Format, Piece, Record
from curation.curate import curate_record
from curation.settings import CurationSettings
from tests.curation.cells import SET, WRITERS, Cell, ase_database, cif, csv_table, optimade

SUFFIXES: dict[Format, str] = {"cif": ".cif", "poscar": ".vasp", "extxyz": ".xyz", "json": ".json"}


@cache
def hash_of(text: str, kind: Format) -> str:
    """Return the hash of the crystal; curation takes longer than reading."""
    verdict = curate_record(Record("s", "x", text, "x", "", format=kind), CurationSettings())
    assert verdict.structure_hash, verdict.detail
    return verdict.structure_hash


EXPECTED = {name: hash_of(cif(cell), "cif") for name, cell in SET.items()}


def files() -> dict[str, bytes]:
    """Return every crystal in every format as a file of its own."""
    return {
        f"{style.replace(' ', '_')}/{name}{SUFFIXES[kind]}": write(cell).encode()
        for style, (kind, write) in WRITERS.items()
        for name, cell in SET.items()
    }


def hashes(path: Path) -> dict[str, str]:
    found = list(open_catalog(guess_catalog(path)))
    assert all(record.defect is None for record in found), [r.defect for r in found if r.defect]
    return {record.source_id: hash_of(record.text, record.format) for record in found}


def expected_of_files(prefix: str = "") -> dict[str, str]:
    return {prefix + name: EXPECTED[Path(name).stem] for name in files()}


def write_zip(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in content.items():
            archive.writestr(name, raw)


def write_tar(path: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:xz") as archive:
        for name, raw in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))


def test_folders_and_archives(tmp_path: Path) -> None:
    for name, raw in files().items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(raw)
    write_zip(tmp_path / "a.zip", files())
    write_tar(tmp_path / "a.tar.xz", files())
    for name in ("folder", "a.zip", "a.tar.xz"):
        assert hashes(tmp_path / name) == expected_of_files()


def joined(cells: dict[str, Cell]) -> dict[str, bytes]:
    """Return files with all crystals."""
    entries = [{"material_id": name, "structure": json.loads(optimade(cell))} for name, cell in cells.items()]
    split = {
        "index": list(cells),
        "columns": ["structure", "gap"],
        "data": [[json.loads(WRITERS["pymatgen"][1](cell)), 1.5] for cell in cells.values()],
    }
    computed = [
        {"@class": "ComputedStructureEntry", "entry_id": n, "energy": -1.5, "structure": json.loads(optimade(c))}
        for n, c in cells.items()
    ]
    frames = (WRITERS["extxyz"][1](c).replace(" energy=-1.5", f" material_id={n}", 1) for n, c in cells.items())
    blocks = (cif(cell).replace("data_x", f"data_{name}", 1) for name, cell in cells.items())
    return {
        "list.json": json.dumps(entries).encode(),
        "lines.jsonl.gz": gzip.compress("\n".join(map(json.dumps, entries)).encode()),
        "matbench.json.gz": gzip.compress(json.dumps(split).encode()),
        "alexandria.json.bz2": bz2.compress(json.dumps({"entries": computed}).encode()),
        "frames.extxyz.xz": lzma.compress("".join(frames).encode()),
        "blocks.cif": "".join(blocks).encode(),
    }


@pytest.mark.parametrize("name", list(joined(SET)))
def test_files_with_many_structures(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(joined(SET)[name])
    assert hashes(tmp_path / name) == {f"{name}#{one}": found for one, found in EXPECTED.items()}


def tables() -> dict[str, Callable[[Path], None]]:
    """Return writers of tables with all crystals, one format in each."""
    found: dict[str, Callable[[Path], None]] = {}
    for style, (_, write) in WRITERS.items():
        rows = [{"material_id": name, "structure": write(cell)} for name, cell in SET.items()]
        name = style.replace(" ", "_")
        found[f"{name}.csv"] = lambda path, rows=rows: path.write_text(csv_table(rows))
        found[f"{name}.parquet"] = lambda path, rows=rows: pq.write_table(pa.Table.from_pylist(rows), path)
    columns = [{"immutable_id": name, **json.loads(optimade(cell))} for name, cell in SET.items()]
    as_text = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in columns]
    found["optimade.feather"] = lambda path: pyarrow.feather.write_feather(pa.Table.from_pylist(columns), path)
    found["optimade.parquet"] = lambda path: pq.write_table(pa.Table.from_pylist(columns), path)
    found["optimade.csv.gz"] = lambda path: path.write_bytes(gzip.compress(csv_table(as_text).encode()))
    return found


def test_tables_alone_in_folders_and_in_archives(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, write in tables().items():
        write(tmp_path / "in" / name)
        assert hashes(tmp_path / "in" / name) == EXPECTED, name
    content = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    write_zip(tmp_path / "a.zip", content)
    write_tar(tmp_path / "a.tar.xz", content)
    expected = {f"{name}#{one}": found for name in content for one, found in EXPECTED.items()}
    for name in ("in", "a.zip", "a.tar.xz"):
        assert hashes(tmp_path / name) == expected


def test_a_folder_of_everything(tmp_path: Path) -> None:
    for name, raw in joined(SET).items():
        (tmp_path / name).write_bytes(raw)
    for name, write in tables().items():
        write(tmp_path / name)
    write_zip(tmp_path / "a.zip", files())
    (tmp_path / "set.db").write_bytes(ase_database(list(SET.values())))
    (tmp_path / "notes.csv").write_text("name,remark\nx,y\n")
    (tmp_path / "readme.md").write_text("# structures")
    (tmp_path / "earlier.zarr").mkdir()
    (tmp_path / "earlier.zarr" / "POSCAR").write_text("no input")
    write_zip(tmp_path / "earlier.zarr.zip", {"POSCAR": b"no input"})
    verdicts = pa.table({"structure": ["{}"]}).replace_schema_metadata({"pxrd_datagen": "{}"})
    pq.write_table(verdicts, tmp_path / "curation.parquet")
    expected = {f"{name}#{one}": h for name in (*joined(SET), *tables()) for one, h in EXPECTED.items()}
    expected |= {f"set.db#{i}": h for i, h in enumerate(EXPECTED.values(), start=1)}
    assert hashes(tmp_path) == expected | expected_of_files("a.zip!")


def test_a_database_in_memory_gives_the_same() -> None:
    found = pieces(ase_database(list(SET.values())), 10**7)
    assert [hash_of(one.text, "json") for one in found if isinstance(one, Piece)] == list(EXPECTED.values())
