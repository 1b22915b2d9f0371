"""Arrow reads a dataset's tables from memory that it owns, wherever the dataset is."""

from __future__ import annotations

import ast
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.publish import publish
from datagen.store.location import locate, location_of
from tests.datagen.small_runs import Made

ROOT = Path(__file__).resolve().parents[2]
READERS = {"read_table", "ParquetFile", "read_schema", "read_metadata"}


@pytest.mark.parametrize("ending", ["zarr", "zarr.zip"])
def test_folder_and_zip_give_arrow_the_mapped_file(made: Made, tmp_path: Path, ending: str) -> None:
    publish(made.dataset, tmp_path / f"d.{ending}", Naming("d"), Terms())
    location = location_of(locate(str(tmp_path / f"d.{ending}")))
    file = location.arrow_file("curation.parquet")
    assert isinstance(file, pa.MemoryMappedFile | pa.BufferReader)
    assert not isinstance(file, pa.PythonFile)
    with file, location.open("curation.parquet") as same:
        assert file.read() == same.read()


def test_a_missing_table_is_no_file(made: Made) -> None:
    with pytest.raises(FileNotFoundError):
        location_of(made.dataset).arrow_file("other.parquet")


@pytest.mark.parametrize("path", sorted((ROOT / "datagen").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_parquet_reader_is_given_a_python_file(path: Path) -> None:
    """`pq.ParquetFile(file)` of an open Python file aborts the process at exit now and then."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.With):
            opened = {
                item.optional_vars.id
                for item in node.items
                if isinstance(item.optional_vars, ast.Name)
                and isinstance(item.context_expr, ast.Call)
                and isinstance(item.context_expr.func, ast.Attribute)
                and item.context_expr.func.attr == "open"
            }
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in READERS:
                    given = {argument.id for argument in call.args if isinstance(argument, ast.Name)}
                    assert not given & opened, f"{path}:{call.lineno}"


def test_a_table_is_read_from_it(made: Made) -> None:
    with location_of(made.dataset).arrow_file("curation.parquet") as file:
        assert pq.read_table(file, columns=["row"]).num_rows > 0
