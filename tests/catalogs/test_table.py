"""Every row of a CSV or Parquet table becomes a record that keeps all of the row."""

from __future__ import annotations

import contextlib
import csv
import gzip
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs import table
from catalogs.arrow_size import inflated_bytes
from catalogs.config import TableCatalog
from catalogs.errors import CatalogError
from catalogs.open import open_catalog
from catalogs.record import Record
from tests.catalogs.cifs import NACL, cif


def read(path: Path, **options: object) -> list[Record]:
    return list(open_catalog(TableCatalog.model_validate({"path": path, "name": "t", **options})))


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path


def reasons(records: list[Record]) -> dict[str, str]:
    return {record.source_id: record.defect.reason if record.defect else "" for record in records}


HEADER = ["", "material_id", "formation_energy_per_atom", "cif", "spacegroup.number"]


def test_the_mp_20_format_is_read_and_all_else_kept(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", [HEADER, [7, "mp-1", -1.25, cif("a"), 225], [8, "mp-2", "", cif("b"), 1]])
    first, second = read(path)
    assert (first.source_id, first.text, first.source) == ("mp-1", cif("a"), "t")
    assert first.origin == f"{path}!row 1"
    assert first.source_metadata == {
        "column 1": "7", "material_id": "mp-1", "formation_energy_per_atom": "-1.25", "spacegroup.number": "225",
    }  # fmt: skip
    assert second.source_id == "mp-2"


def test_parquet_gives_the_same_records_as_csv(tmp_path: Path) -> None:
    ids = [f"mp-{i}" for i in range(200)]
    cifs = [cif(f"x{i}") for i in range(200)]
    pq.write_table(pa.table({"material_id": ids, "cif": cifs, "n": list(range(200))}), tmp_path / "t.parquet")
    rows = [list(row) for row in zip(ids, cifs, range(200), strict=True)]
    path = write_csv(tmp_path / "t.csv", [["material_id", "cif", "n"], *rows])
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    expected = [(record.source_id, record.text, record.source_metadata) for record in read(tmp_path / "t.parquet")]
    assert len(expected) == 200
    assert [(record.source_id, record.text, record.source_metadata) for record in read(path)] == expected
    assert [(record.source_id, record.text, record.source_metadata) for record in read(packed)] == expected


def test_bytes_nulls_and_numbers_in_parquet_become_text(tmp_path: Path) -> None:
    table_ = pa.table({"cif": [NACL.encode(), None], "e": [1.5, None], "l": [[1, 2], None], "id": [3, 4]})
    pq.write_table(table_, tmp_path / "t.parquet")
    first, second = read(tmp_path / "t.parquet", id_column="id")
    assert (first.source_id, first.text, first.source_metadata) == ("3", NACL, {"e": "1.5", "l": "[1, 2]", "id": "3"})
    assert (second.source_metadata, second.defect and second.defect.reason) == ({"id": "4"}, "empty_file")


def test_parquet_text_that_is_not_utf_8_is_latin_1(tmp_path: Path) -> None:
    raw = pa.array([b"data_x _n M\xfcller", NACL.encode()], pa.binary())
    wrong = pa.Array.from_buffers(pa.string(), 2, raw.buffers())  # as careless writers leave it
    pq.write_table(pa.table({"cif": wrong, "note": wrong.dictionary_encode()}), tmp_path / "t.parquet")
    first, second = read(tmp_path / "t.parquet")
    assert (first.text, first.source_metadata["encoding"]) == ("data_x _n Müller", "latin-1")
    assert first.source_metadata["note"] == "data_x _n M\\xfcller"
    assert second.text == NACL


def test_columns_can_be_named_and_rows_are_numbered_without_ids(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [["name", "structure"], ["a", NACL], ["b", NACL]])
    assert [record.source_id for record in read(path, structure_column="structure")] == ["row 1", "row 2"]
    assert [record.source_id for record in read(path, structure_column="structure", id_column="name")] == ["a", "b"]


@pytest.mark.parametrize("options", [{}, {"structure_column": "CIF"}, {"structure_column": "a", "id_column": "z"}])
def test_a_missing_column_is_an_error_that_names_those_there_are(tmp_path: Path, options: dict[str, str]) -> None:
    path = write_csv(tmp_path / "t.csv", [["a", "b"], ["1", "2"]])
    with pytest.raises(CatalogError, match=r"has no column .*found 'a', 'b'; set (structure|id)_column"):
        read(path, **options)


def test_equal_ids_are_told_apart(tmp_path: Path) -> None:
    rows = [["material_id", "cif"], ["same", cif("a")], ["same~2", cif("b")], ["same", cif("c")]]
    path = write_csv(tmp_path / "t.csv", rows)
    found = read(path)
    assert [record.source_id for record in found] == ["same", "same~2", "same~3"]
    assert found[2].source_metadata["duplicate_of"] == "same"
    assert "duplicate_of" not in found[1].source_metadata


def test_many_equal_ids_take_no_longer_than_others(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [["material_id", "cif"], *[["same", "data_x"]] * 5000])
    assert read(path)[-1].source_id == "same~5000"


def test_poor_cells_are_defects_of_their_rows(tmp_path: Path) -> None:
    rows = [
        ["material_id", "cif"],
        ["empty", ""],
        ["text", "hello"],
        ["large", NACL * 40],
        ["two", cif("a") + cif("b")],
    ]
    path = write_csv(tmp_path / "t.csv", rows)
    assert reasons(read(path, max_file_MB=0.01)) == {
        "empty": "empty_file", "text": "no_data_block", "large": "too_large", "two#a": "", "two#b": "",
    }  # fmt: skip


def test_rows_of_another_length_are_defects_but_blank_lines_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("material_id,cif,n\na,data_x,1\n\nb,data_x\nc,data_x,1,2\nd,data_x,1\n")
    assert reasons(read(tmp_path / "t.csv")) == {"a": "", "b": "damaged_entry", "c": "damaged_entry", "d": ""}


def test_cells_that_are_not_utf_8_are_latin_1_one_by_one(tmp_path: Path) -> None:
    raw = b"material_id,cif\na,'" + b"data_x _n M\xfcller\nb\xe9,data_y _n M\xc3\xbcller\n"
    (tmp_path / "t.csv").write_bytes(raw.replace(b"'", b""))
    first, second = read(tmp_path / "t.csv")
    assert (first.text, first.source_metadata.get("encoding")) == ("data_x _n Müller", "latin-1")
    assert (second.source_id, second.text, second.source_metadata.get("encoding")) == (
        "b\\xe9",
        "data_y _n Müller",
        None,
    )


def test_an_unclosed_quote_swallows_no_more_than_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w") as stream:
        stream.write('material_id,cif\na,data_x\nb,"' + "x" * 3_000_000)
    found = reasons(read(tmp_path / "t.csv", max_file_MB=0.5))
    assert found.pop("a") == ""
    assert list(found.values()) in (["too_large"], ["damaged_source"])


def test_a_csv_that_breaks_off_keeps_its_rows(tmp_path: Path) -> None:
    text = "material_id,cif\n" + "".join(f"{i},data_x{i * 7919}\n" for i in range(20_000))
    packed = gzip.compress(text.encode())
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    found = read(tmp_path / "t.csv.gz")
    assert len(found) > 1000
    assert found[-1].defect is not None
    assert found[-1].defect.reason == "damaged_source"
    assert "rows" in found[-1].defect.detail


def test_a_parquet_file_damaged_inside_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    cifs = [f"data_x\n# {random.Random(i).randbytes(500).hex()}\n" for i in range(400)]  # does not compress away
    pq.write_table(pa.table({"cif": cifs}), path, row_group_size=100, compression="zstd", use_dictionary=False)
    raw = bytearray(path.read_bytes())
    at = len(raw) * 3 // 5
    raw[at : at + 2000] = bytes(2000)
    path.write_bytes(raw)
    found = read(path)
    assert found[0].defect is None
    assert found[-1].defect is not None
    assert found[-1].defect.reason == "damaged_source"


@pytest.mark.parametrize("name", ["missing.csv", "missing.parquet", "text.parquet", "empty.csv"])
def test_what_is_no_table_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(CatalogError, match="table"):
        read(tmp_path / name)


def test_densities_are_named_by_a_column(tmp_path: Path) -> None:
    (tmp_path / "rho").mkdir()
    (tmp_path / "rho/a.cube").touch()
    rows = [["material_id", "cif", "density"], ["a", NACL, "rho/a.cube"], ["b", NACL, "rho/b.cube"], ["c", NACL, ""]]
    a, b, c = read(write_csv(tmp_path / "t.csv", rows), density_column="density")
    assert a.density is not None
    assert (a.density.path, a.density.format) == (tmp_path / "rho/a.cube", "cube")
    assert b.density is None
    assert (b.source_metadata["density"], b.source_metadata["density_note"]) == ("rho/b.cube", "none found")
    assert c.density is None


def test_a_long_table_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BATCH_ROWS", 8)
    batches: list[int] = []
    original = pq.ParquetFile.iter_batches

    def counted(self: pq.ParquetFile, batch_size: int) -> object:
        for batch in original(self, batch_size=batch_size):
            batches.append(len(batch))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    pq.write_table(pa.table({"cif": [NACL] * 1000}), tmp_path / "t.parquet")
    records = open_catalog(TableCatalog(path=tmp_path / "t.parquet"))
    for _ in range(10):
        next(records)
    assert batches == [8, 8]
    records.close()  # type: ignore[attr-defined]


def test_an_oversized_cell_costs_its_own_row_only(tmp_path: Path) -> None:
    big = "x" * 300_000 + '"' * 2 + "\n" + "y" * 300_000
    path = write_csv(tmp_path / "t.csv", [["cif", "n"], [NACL, 1], [big, 2], [NACL, 3]])
    found = read(path, max_file_MB=0.1)
    assert reasons(found) == {"row 1": "", "row 2": "too_large", "row 3": ""}
    assert found[2].source_metadata == {"n": "3"}


def test_a_quotation_mark_inside_a_cell_is_text(tmp_path: Path) -> None:
    quoted = NACL.replace('"', '""')
    path = tmp_path / "t.csv"
    path.write_text(f'cif,pipe\n"{quoted}",5" wide\n"{quoted}",6" and ""7""\n"{quoted}","a ""b"", c"\n')
    assert [record.source_metadata["pipe"] for record in read(path)] == ['5" wide', '6" and ""7""', 'a "b", c']


def test_a_parquet_file_that_repeats_a_giant_text_stays_small(tmp_path: Path) -> None:
    """64 rows of one text of 10 MB in a file of some kB: one copy of it is held, not 64."""
    giant = NACL + "#" + " " * 10_000_000
    pq.write_table(pa.table({"cif": [giant] * 64}), tmp_path / "t.parquet", compression="zstd")
    pool = pa.total_allocated_bytes()
    tracemalloc.start()
    found = read(tmp_path / "t.parquet", max_file_MB=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(reasons(found).values()) == {"too_large"}
    assert len(found) == 64
    assert peak + pa.total_allocated_bytes() - pool < 100_000_000


def test_a_parquet_file_made_to_exhaust_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "INFLATED_BYTES", 10_000_000)
    texts = [NACL + " " * (400_000 + i) for i in range(64)]
    pq.write_table(pa.table({"cif": texts}), tmp_path / "t.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(CatalogError, match=r"inflates from 0\.\d+ MB to 2\d MB"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_feather_file_made_to_exhaust_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr(table, "INFLATED_BYTES", 20_000_000)
    path = tmp_path / "bomb.feather"
    texts = pa.table({"id": [str(i) for i in range(250)], "cif": ["x" * 100_000] * 250})
    pyarrow.feather.write_feather(texts, path, compression=compression)
    with pytest.raises(CatalogError, match=r"inflates from 0\.\d+ MB to 25 MB"):
        read(path)


@pytest.mark.parametrize("compression", ["uncompressed", "zstd", "lz4"])
@pytest.mark.parametrize("repeated", [False, True])
def test_the_size_of_a_feather_file_is_that_of_its_columns(tmp_path: Path, compression: str, repeated: bool) -> None:
    texts = pa.table({"cif": ["x" * 10_000] * 300, "n": list(range(300)), "gap": [None, 1.5] * 150})
    if repeated:
        texts = texts.set_column(0, "cif", texts["cif"].dictionary_encode())
    pyarrow.feather.write_feather(texts, tmp_path / "t.feather", compression=compression, chunksize=100)
    found = inflated_bytes((tmp_path / "t.feather").read_bytes())
    assert found == pytest.approx(texts.nbytes, rel=0.05)


@given(st.data())
def test_a_damaged_feather_file_has_no_size_or_some(data: st.DataObject) -> None:
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(pa.table({"n": [1, 2, 3], "t": ["a", "b", "c"]}), sink, compression="zstd")
    content = bytearray(sink.getvalue().to_pybytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert isinstance(inflated_bytes(bytes(content)), int)
