"""Readers of a dataset from elsewhere end in a sentence, at once and in little memory, whatever it states."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numcodecs import Blosc
from rich.console import Console

import datagen
from curation.crystal import Crystal
from curation.reflections import half_sphere
from datagen.errors import StoreError
from datagen.identification.index_build import build_index
from datagen.inspect.describe import inspect
from datagen.inspect.find_verdict import look_up
from datagen.inspect.replay import replay
from datagen.inspect.status import status_of
from datagen.inspect.verify import verify
from datagen.store.bounded_store import MOST_CHUNK_BYTES
from tests.datagen.small_runs import Made
from tests.share.hostile import change_json, reseal

READERS: dict[str, Callable[[Path], object]] = {
    "inspect": lambda dataset: inspect(dataset, Console(quiet=True)),
    "status": status_of,
    "verify": lambda dataset: verify(dataset, sample=4),
    "replay": lambda dataset: replay(dataset, "quartz.cif", 0),
    "open": datagen.open_dataset,
}


def change_attributes(dataset: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    change_json(dataset / "zarr.json", lambda content: change(content["attributes"]))
    reseal(dataset)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("n", [10**12, -1, 0.5, "many", None, [5]])
def test_a_size_that_no_dataset_has(copied: Made, reader: str, n: object) -> None:
    change_attributes(copied.dataset, lambda attributes: attributes["layout"].update(n_structures=n))
    with pytest.raises(StoreError, match="n_structures"):
        READERS[reader](copied.dataset)


@pytest.mark.parametrize("reader", ["inspect", "replay", "open"])
def test_an_array_larger_than_the_layout_is_refused_before_it_is_allocated(copied: Made, reader: str) -> None:
    def enlarge(content: dict[str, Any]) -> None:
        for name in ("split", "pattern"):
            array = content["consolidated_metadata"]["metadata"][name]
            array["shape"][0] = 10**12
            array["chunk_grid"]["configuration"]["chunk_shape"][0] = 10**12

    change_json(copied.dataset / "zarr.json", enlarge)
    with pytest.raises(StoreError, match="expected shape"):
        READERS[reader](copied.dataset)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", ["[" * 100_000 + "]" * 100_000, "{}", "[]", "\x00", '{"attributes": []}', ""])
def test_metadata_that_is_none(copied: Made, reader: str, content: str) -> None:
    (copied.dataset / "zarr.json").write_text(content)
    with pytest.raises(StoreError):
        READERS[reader](copied.dataset)


@pytest.mark.parametrize("reader", ["inspect", "replay", "open"])
@pytest.mark.parametrize("of", ["microstrain", "pattern"])
@pytest.mark.parametrize("wrong", [[-(2**63)], None, {"x": 1}, "object", "x" * 100_000])
def test_a_type_that_is_none(copied: Made, reader: str, of: str, wrong: object) -> None:
    def retype(content: dict[str, Any]) -> None:
        content["consolidated_metadata"]["metadata"][of]["data_type"] = wrong

    change_json(copied.dataset / "zarr.json", retype)
    with pytest.raises(StoreError):
        READERS[reader](copied.dataset)


@pytest.mark.parametrize("field", ["n_structures", "first_row", "n_densities", "key", "notes", "files"])
@pytest.mark.parametrize("value", [None, -1, 10**30, "x", [1], {"a": {"size": 10**30, "sha256": "0"}}])
def test_a_receipt_with_other_values(copied: Made, field: str, value: object) -> None:
    fine = {"key": str, "notes": dict}
    if field in fine and isinstance(value, fine[field]):
        pytest.skip("a possible value")
    change_json(copied.dataset / "ledger" / "shard-00000.json", lambda receipt: receipt.update({field: value}))
    for reader in ("inspect", "verify"):
        with pytest.raises(StoreError):
            READERS[reader](copied.dataset)
    assert status_of(copied.dataset).mistakes


def test_a_chunk_that_states_two_gigabytes_is_not_decompressed(copied: Made) -> None:
    (chunk,) = (copied.dataset / "split" / "c").rglob("0")
    raw = bytearray(chunk.read_bytes())
    raw[4:8] = struct.pack("<I", 2**31 - 1)
    chunk.write_bytes(raw)
    reseal(copied.dataset)
    with pytest.raises(StoreError, match=f"at most {MOST_CHUNK_BYTES:,} bytes"):
        inspect(copied.dataset, Console(quiet=True))


def test_a_chunk_that_inflates_is_refused(copied: Made) -> None:
    (chunk,) = (copied.dataset / "space_group" / "c").rglob("0")
    chunk.write_bytes(Blosc(cname="zstd").encode(np.zeros((MOST_CHUNK_BYTES >> 3) + 1)))
    reseal(copied.dataset)
    with pytest.raises(StoreError, match=f"at most {MOST_CHUNK_BYTES:,} bytes"):
        inspect(copied.dataset, Console(quiet=True))


@pytest.mark.parametrize("column", ["row", "structure", "source_id", "angle_tolerance_deg", "status"])
def test_a_table_with_other_types(copied: Made, column: str) -> None:
    path = copied.dataset / "curation.parquet"
    table = pq.read_table(path)
    changed = pa.array([["x"]] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index(column), column, changed), path)
    reseal(copied.dataset)
    if column != "row":  # not part of a verdict
        with pytest.raises(StoreError):
            look_up("quartz.cif", copied.dataset)
    if column in ("row", "structure"):
        with pytest.raises(StoreError):
            verify(copied.dataset, sample=4)


@pytest.mark.parametrize(
    "column",
    [
        *("row", "structure", "structure_hash", "source", "source_id", "licence", "reason", "duplicate_of"),
        *("formula", "space_group"),
    ],
)
def test_a_table_without_a_column(copied: Made, column: str) -> None:
    path = copied.dataset / "curation.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    reseal(copied.dataset)
    for row in ("quartz.cif", "0"):
        with pytest.raises(StoreError):
            replay(copied.dataset, row, 0)


def test_a_text_in_place_of_the_space_groups_gives_no_index(copied: Made, tmp_path: Path) -> None:
    path = copied.dataset / "curation.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("space_group")
    pq.write_table(table.set_column(column, "space_group", pa.array(["\u202e"] * table.num_rows)), path)
    with pytest.raises(StoreError, match="column space_group: expected int16, found string"):
        build_index(copied.dataset, tmp_path / "index", workers=1)


def test_a_dataset_without_its_table_has_no_index(copied: Made, tmp_path: Path) -> None:
    (copied.dataset / "curation.parquet").unlink()
    with pytest.raises(StoreError, match=r"curation\.parquet cannot be read"):
        build_index(copied.dataset, tmp_path / "index", workers=1)


CELL = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]


@pytest.mark.parametrize(
    "change",
    [
        {"lattice_A": [[1e12, 0, 0], [0, 1e12, 0], [0, 0, 1e12]]},
        {"lattice_A": [[0.0, 0, 0], [0, 4, 0], [0, 0, 4]]},
        {"lattice_A": [[float("nan"), 0, 0], [0, 4, 0], [0, 0, 4]]},
        {"species": []},
        {"species": [1]},
        {"occupancy": [1.0, 1.0]},
        {"fractional": [[0, 0]]},
        {"u_iso_A2": None},
    ],
)
def test_a_stored_crystal_that_is_none(change: dict[str, Any]) -> None:
    whole = {"lattice_A": CELL, "species": ["Fe"], "occupancy": [1.0], "fractional": [[0.0, 0, 0]], "u_iso_A2": [0.01]}
    assert Crystal.from_json(json.dumps(whole)).volume_A3 == pytest.approx(64)
    with pytest.raises((ValueError, TypeError)):
        Crystal.from_json(json.dumps({**whole, **change}))


def test_more_reflections_than_memory_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 20,000,000 reflections"):
        half_sphere(np.eye(3) * 1000.0, 0.1, 2.0)


@pytest.mark.parametrize(
    ("field", "value"), [("species", ""), ("species", "Xx"), ("species", "x" * 1000), ("u_iso_A2", -(2.0**63))]
)
def test_a_row_of_a_structure_that_cannot_be_simulated(copied: Made, field: str, value: object) -> None:
    path = copied.dataset / "curation.parquet"
    table = pq.read_table(path)
    lines = [line and json.dumps({**json.loads(line), field: [value] * len(json.loads(line)["species"])})
             for line in table["structure"].to_pylist()]  # fmt: skip
    changed = pa.array(lines, pa.string())
    pq.write_table(table.set_column(table.column_names.index("structure"), "structure", changed), path)
    reseal(copied.dataset)
    with pytest.raises(StoreError, match="row"):
        replay(copied.dataset, "quartz.cif", 0)
