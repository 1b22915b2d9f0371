"""Selection of records by a condition on their source metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalogs.config import CatalogConfig, FolderCatalog, TableCatalog
from catalogs.errors import CatalogError
from catalogs.expression import LONGEST, Expression, ExpressionError
from catalogs.open import open_catalog
from catalogs.record import Defect, Record
from catalogs.selection import Excluded, meeting
from tests.catalogs.cifs import NACL

ROWS: list[dict[str, Any]] = [
    {"hull": "0.0", "nelements": "2", "elements": '["Fe", "O"]', "is_stable": "True", "system": "cubic"},
    {"hull": "0.2", "nelements": "3", "elements": "Fe-Ti-O", "is_stable": "False", "system": "cubic"},
    {"hull": "nan", "nelements": "4", "elements": "F", "system": "triclinic", "band gap": "1.5"},
    {"nelements": "many", "source": "lab", "system": "1"},
]


def config(where: str) -> FolderCatalog:
    return FolderCatalog(path=Path("x"), where=where)


def record(number: int, metadata: dict[str, str], defect: Defect | None = None) -> Record:
    return Record("s", str(number), "", "", "CC0-1.0", source_metadata=metadata, defect=defect)


def chosen(where: str, excluded: Excluded | None = None) -> list[int]:
    records = [record(i, row) for i, row in enumerate(ROWS)]
    return [int(found.source_id) for found in meeting(records, config(where), excluded or Excluded())]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("hull < 0.05 and nelements <= 3", [0]),
        ("not hull < 0.05", [1]),
        ("hull != 0.2", [0]),
        ("hull < 0.05 or nelements >= 3", [0, 1, 2]),
        ("0.1 < hull <= 0.2", [1]),
        ("hull * 10 + 1 > nelements - 1", [1]),
        ("nelements / 0 > 1", []),
        ("-nelements > -3", [0]),
        ("'Fe' in elements", [0, 1]),
        ("'F' in elements", [2]),
        ("'Fe' not in elements", [2]),
        ("system == 'cubic' and 'O' in elements", [0, 1]),
        ("system in ['triclinic', 'cubic']", [0, 1, 2]),
        ("system == 1", [3]),
        ("nelements in (2, 4)", [0, 2]),
        ("is_stable", [0]),
        ("not is_stable", [1]),
        ("is_stable == False", [1]),
        ("`band gap` > 1", [2]),
        ("source == 'lab' or nelements == 2", [0, 3]),
        ("source_id >= 2 and licence == 'CC0-1.0'", [2, 3]),
        ("hull == nelements", []),
    ],
)
def test_conditions_choose_records(where: str, expected: list[int]) -> None:
    assert chosen(where) == expected


def test_what_is_left_out_is_counted() -> None:
    excluded = Excluded()
    assert chosen("hull < 0.05", excluded) == [0]
    assert (excluded.records, excluded.without_field) == (3, 2)
    assert str(excluded) == "3 records were left out, 2 of them for lack of a field"


def test_a_field_that_no_record_has_is_an_error_with_those_there_are() -> None:
    with pytest.raises(CatalogError, match=r"no record has the field 'hul'.*'hull', 'nelements'.*'source_id'"):
        chosen("hul < 0.05")


def test_inputs_that_cannot_be_read_keep_their_row() -> None:
    broken = Defect("empty_file", "")
    records = [record(0, {}, broken), record(1, {"hull": "1"}, broken), record(2, {"hull": "0"})]
    excluded = Excluded()
    found = [one.source_id for one in meeting(records, config("hull < 0.5"), excluded)]
    assert (found, excluded.records) == (["0", "2"], 1)


@pytest.mark.parametrize(
    "where",
    [
        *("hull <", "", "1", "hull + 1", "f(x)", "a.b > 1", "a[0] > 1", "lambda: 1", "a > (b := 1)", "a is None"),
        *("[x for x in y]", "hull in []", "hull in elements", "hull ** 9 > 1", "a > b'x'", "a > 1j", "not 'x'"),
        *("(" * 5000, "not " * 9000 + "a", "x > " + "9" * 9000, "a" * (LONGEST + 1), "a > 1\0"),
    ],
)
def test_what_is_no_condition_is_refused_when_the_configuration_is_read(where: str) -> None:
    with pytest.raises(ValidationError, match="where"):
        config(where)


@given(st.text("ab'\"`<=()[],.+-*/ 01notandri\\", max_size=40))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        expression = Expression(text)
        list(meeting([record(0, dict.fromkeys(expression.names, "1"))], config(text), Excluded()))
    except (ExpressionError, CatalogError):
        pass


def test_limit_counts_records_that_meet_the_condition(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"cif": [NACL] * 6, "hull": [0.0, 1.0, 0.0, None, 1.0, 0.0]}), path)
    ids = tmp_path / "ids.txt"
    ids.write_text("row 1\nrow 2\nrow 6\nrow 9\n")

    def read(**options: Any) -> list[str]:
        catalog: CatalogConfig = TableCatalog(path=path, where="hull < 0.5", **options)
        return [found.source_id for found in open_catalog(catalog)]

    assert read() == ["row 1", "row 3", "row 6"]
    assert read(limit=2) == ["row 1", "row 3"]
    assert read(from_list=ids) == ["row 1", "row 6", "row 9"], "the last is a row that says so"


def test_a_table_knows_its_fields_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("cif,gap\nx,1\n")
    with pytest.raises(CatalogError, match=r"no record has the field 'cif'.*found 'gap', 'source_id'"):
        next(open_catalog(TableCatalog(path=path, where="cif == 'x'")))


def test_lists_beside_a_structure_are_fields_too(tmp_path: Path) -> None:
    entries = [{"id": "a", "elements": ["Na", "Cl"], "cif": NACL}, {"id": "b", "elements": ["Fe"], "cif": NACL}]
    (tmp_path / "x.json").write_text(json.dumps(entries))
    catalog = FolderCatalog(path=tmp_path, where="'Na' in elements")
    assert [found.source_id for found in open_catalog(catalog)] == ["x.json#a"]
