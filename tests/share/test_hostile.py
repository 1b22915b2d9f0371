"""Malicious datasets and publications are refused in one sentence, without a traceback and without their text."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numcodecs import Blosc

from datagen.errors import DatagenError, StoreError
from datagen.inspect.verify import verify
from datagen.share.audit import audit
from datagen.share.card import card
from datagen.share.diff import diff
from datagen.share.facts import Naming, facts_of
from datagen.share.fingerprint import read_fingerprint, write_fingerprint
from datagen.share.finished import open_finished
from datagen.share.licences import Terms
from datagen.share.merge import merge
from datagen.share.publish import publish
from datagen.share.subset import Selection, subset
from datagen.store.location import locate
from tests.share.hostile import change_json, changed_copy, reseal
from trainer.data.store import open_dataset
from trainer.errors import TrainerError

NAMING = Naming("Ours")
OPERATIONS: dict[str, Callable[[Path, Path, Path], object]] = {
    "subset": lambda hostile, _, out: subset(hostile, out, Selection(sample=2)),
    "merge": lambda hostile, other, out: merge([hostile, other], out),
    "audit": lambda hostile, other, _: audit(hostile, other),
    "diff": lambda hostile, other, _: diff(other, hostile),
    "card": lambda hostile, *_: card(facts_of(open_finished(hostile), NAMING, Terms())),
    "publish": lambda hostile, _, out: publish(hostile, out, NAMING, Terms()),
}
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)
REMOVED = object()
WRONG = (REMOVED, None, [], {}, "\x1b[2J[/red]", -1, 10**12, [1], {"a": 1}, 1.5)


def refusal(run: Callable[[Path, Path, Path], object], *paths: Path) -> str | None:
    """Return the message with which an operation refuses a dataset; None if it accepts it."""
    try:
        run(*paths)
    except DatagenError as error:
        return str(error)
    return None


def set_attribute(*path: str, value: Any) -> Callable[[Path], None]:
    def change(content: Any) -> None:
        place = content["attributes"]
        for name in path[:-1]:
            place = place[name]
        if value is REMOVED:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = value

    return lambda dataset: change_json(dataset / "zarr.json", change)


@pytest.mark.parametrize(
    "path",
    [
        *(("layout", name) for name in ("n_structures", "structures_per_shard", "n_points", "text_bytes")),
        *(("layout", name) for name in ("extra_augmentations", "density_method", "shard_reflections")),
        *(
            ("configuration",),
            ("configuration", "catalog"),
            ("configuration", "store"),
            ("configuration", "simulation"),
        ),
        *(("instrument",), ("engine",), ("software",), ("derived_from",), ("publication",), ("layout",), ("complete",)),
    ],
    ids=".".join,
)
def test_malformed_attributes_are_refused_by_every_operation(
    ours: Path, theirs: Path, tmp_path: Path, path: tuple[str, ...]
) -> None:
    for number, value in enumerate(WRONG):
        hostile = changed_copy(ours, tmp_path / f"{number}.zarr", set_attribute(*path, value=value))
        refused = 0
        for name, run in OPERATIONS.items():
            said = refusal(run, hostile, theirs, tmp_path / f"{number}-{name}.zarr")
            refused += said is not None
            assert "\x1b" not in (said or "")
            assert len(said or "") < 5000
        if path[0] == "layout" or path == ("configuration",):
            fits = (path[-1], value) in (("density_method", None), ("extra_augmentations", []))
            assert refused == (0 if fits else len(OPERATIONS)), value


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_numbers_that_are_not_finite_are_refused_by_every_operation(
    ours: Path, theirs: Path, tmp_path: Path, number: str
) -> None:
    def write(dataset: Path) -> None:
        set_attribute("configuration", "store", "d_min_A", value="NUMBER")(dataset)
        path = dataset / "zarr.json"
        path.write_text(path.read_text().replace('"NUMBER"', number))

    hostile = changed_copy(ours, tmp_path / "hostile.zarr", write)
    for name, run in OPERATIONS.items():
        assert "finite number" in (refusal(run, hostile, theirs, tmp_path / f"{name}.zarr") or ""), name
    with pytest.raises(TrainerError, match="finite number"):
        open_dataset(hostile)


@pytest.mark.parametrize("operation", ["subset", "merge", "diff"])
def test_empty_bytes_in_place_of_the_angles_are_refused(
    ours: Path, theirs: Path, tmp_path: Path, operation: str
) -> None:
    def damage(dataset: Path) -> None:
        path = dataset / "two_theta" / "c" / "0"
        path.write_bytes(bytes(path.stat().st_size))
        reseal(dataset)

    hostile = changed_copy(ours, tmp_path / "hostile.zarr", damage)
    assert "two_theta" in (refusal(OPERATIONS[operation], hostile, theirs, tmp_path / "out.zarr") or "")


def test_the_command_ends_with_one_sentence_and_exit_code_2(ours: Path, theirs: Path, tmp_path: Path) -> None:
    hostile = changed_copy(ours, tmp_path / "h.zarr", set_attribute("layout", "n_structures", value="[/red]\x1b[2J"))
    for arguments in (
        ("merge", hostile, theirs, "--out", tmp_path / "o"),
        ("audit", theirs, hostile),
        ("card", hostile),
    ):
        command = [sys.executable, "-m", "datagen", *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 2, ended.stderr
        assert "Traceback" not in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert "attribute layout.n_structures is malformed" in ended.stderr
        assert "\x1b[2J" not in ended.stderr


def replace_zarr_json(text: str) -> Callable[[Path], None]:
    return lambda dataset: (dataset / "zarr.json").write_text(text) and None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"attributes": []}', '{"attributes": 3}', "[" * 100_000], ids=lambda text: text[:20]
)
@EVERY_OPERATION
def test_a_malformed_zarr_json_is_refused(ours: Path, theirs: Path, tmp_path: Path, text: str, operation: str) -> None:
    hostile = changed_copy(ours, tmp_path / "h.zarr", replace_zarr_json(text))
    with pytest.raises(StoreError):
        OPERATIONS[operation](hostile, theirs, tmp_path / "out.zarr")


def test_arrays_that_contradict_the_layout_are_refused(ours: Path, tmp_path: Path) -> None:
    def larger(content: Any) -> None:
        content["consolidated_metadata"]["metadata"]["volume"]["shape"] = [10**12]

    hostile = changed_copy(ours, tmp_path / "h.zarr", lambda dataset: change_json(dataset / "zarr.json", larger))
    with pytest.raises(StoreError, match=r"array volume: expected shape \[6\], found \[1000000000000\]"):
        open_finished(hostile)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_structures", 10**9),
        ("first_row", -1),
        ("n_densities", "many"),
        ("files", []),
        ("files", {"../x": {}}),
        ("shard", 7),
    ],
)
def test_receipts_that_contradict_the_layout_are_refused(ours: Path, tmp_path: Path, field: str, value: Any) -> None:
    hostile = changed_copy(ours, tmp_path / "h.zarr", lambda _: None)
    change_json(hostile / "ledger" / "shard-00001.json", lambda content: content.update({field: value}))
    with pytest.raises(StoreError):
        open_finished(hostile)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _file_for_its_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("{}")


@pytest.mark.parametrize("put", [_folder, _pipe, _file_for_its_folder])
@pytest.mark.parametrize("name", ["zarr.json", "curation.parquet", "ledger/frame.json", "ledger/shard-00001.json"])
def test_what_is_no_file_is_refused_by_every_operation(
    ours: Path, theirs: Path, tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    if put is _file_for_its_folder and "/" not in name:
        pytest.skip("its folder is the dataset")
    hostile = changed_copy(ours, tmp_path / "h.zarr", lambda _: None)
    put(hostile / name)
    for operation, run in OPERATIONS.items():
        assert refusal(run, hostile, theirs, tmp_path / f"{operation}.zarr"), operation
    with pytest.raises(StoreError):
        verify(hostile, sample=1)
    if name == "zarr.json":
        with pytest.raises(TrainerError):
            open_dataset(str(hostile))
    elif name != "ledger/shard-00001.json":
        open_dataset(str(hostile)).rows()
    else:  # to the trainer the shard is not committed
        assert len(open_dataset(str(hostile)).rows()) < len(open_dataset(str(ours)).rows())


def test_labels_outside_of_their_range_are_refused(ours: Path, theirs: Path, tmp_path: Path) -> None:
    def other_split(dataset: Path) -> None:
        file = dataset / "split" / "c" / "0"
        file.write_bytes(Blosc().encode(bytes([200] * len(Blosc().decode(file.read_bytes())))))

    hostile = changed_copy(ours, tmp_path / "h.zarr", other_split)
    for name in ("merge", "audit", "card", "publish"):
        with pytest.raises(StoreError, match=r"split: expected values of 0 to 2, found 200"):
            OPERATIONS[name](hostile, theirs, tmp_path / "out.zarr")


@pytest.mark.parametrize("chunk", [b"", b"x" * 40, "bomb"], ids=["empty", "noise", "bomb"])
@pytest.mark.parametrize("name", ["volume/c/0", "formula/c/0/0", "pattern_max/c/0/0", "n_reflections/c/0"])
def test_a_chunk_larger_than_its_array_is_refused_before_decompression(
    ours: Path, theirs: Path, tmp_path: Path, name: str, chunk: Any
) -> None:
    def bomb(dataset: Path) -> None:
        data = bytearray(Blosc("zstd", 9).encode(bytes(1 << 26))) if chunk == "bomb" else bytearray(chunk)
        if chunk == "bomb":
            data[4:8] = struct.pack("<I", 2**31 - 17)
        (dataset / name).write_bytes(bytes(data))

    hostile = changed_copy(ours, tmp_path / "h.zarr", bomb)
    with pytest.raises(StoreError, match=r"expected a (Blosc )?chunk"):
        subset(hostile, tmp_path / "out.zarr", Selection(where="volume > 0"))
    with pytest.raises(StoreError, match=r"expected a (Blosc )?chunk"):
        merge([hostile, theirs], tmp_path / "merged.zarr")
    assert not (tmp_path / "out.zarr").exists()
    assert not (tmp_path / "merged.zarr").exists()


def with_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def write(dataset: Path) -> None:
        path = dataset / "curation.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return write


def column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    def changed(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        return table.set_column(at, field, pa.array(change(table[name].to_pylist()), type=field.type))

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (column("row", lambda rows: [10**15, *rows[1:]]), "does not exist"),
        (column("row", lambda rows: [-1, *rows[1:]]), "does not exist"),
        (column("row", lambda rows: [0] * len(rows)), "taken"),
        (column("row", lambda rows: [None] * len(rows)), "expected a line for each of 6 rows"),
        (column("duplicate_of", lambda lines: [10**15] * len(lines)), "does not exist"),
        (column("duplicate_of", lambda lines: [-1] * len(lines)), "does not exist"),
        (lambda table: table.drop_columns(["row"]), "one column row of type int64, found none"),
        (lambda table: table.append_column("row", table["row"]), "one column row of type int64, found int64, int64"),
        (lambda table: table.replace_schema_metadata({}), "no settings of the curation"),
        (lambda table: table.replace_schema_metadata({b"pxrd_datagen": b"{"}), "no settings of the curation"),
    ],
)
def test_a_malformed_curation_table_is_refused(
    ours: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], words: str
) -> None:
    hostile = changed_copy(ours, tmp_path / "h.zarr", with_table(change))
    with pytest.raises(StoreError, match=words):
        subset(hostile, tmp_path / "out.zarr", Selection(sample=2))
    assert not (tmp_path / "out.zarr").exists()


def write_repeated(path: Path, like: pa.Schema, values: dict[str, Any], n_lines: int) -> None:
    """Write a table whose lines all have these values, stored once, and null in other columns."""
    columns = [
        pa.DictionaryArray.from_arrays(pa.array([0] * n_lines, pa.int32()), pa.array([values[field.name]], field.type))
        if field.name in values
        else pa.nulls(n_lines, field.type)
        for field in like
    ]
    table = pa.Table.from_arrays(columns, names=like.names)
    with pq.ParquetWriter(path, table.schema, store_schema=False, compression="zstd") as writer:
        writer.write_table(table)


@pytest.mark.parametrize("operation", ["subset", "merge", "audit", "publish"])
def test_a_curation_table_whose_texts_exhaust_memory_is_refused(
    ours: Path, theirs: Path, tmp_path: Path, operation: str
) -> None:
    def bomb(dataset: Path) -> None:
        found = pq.read_schema(dataset / "curation.parquet")
        texts = dict.fromkeys(("structure", "source_metadata", "status"), "x" * 1_000_000)
        write_repeated(dataset / "curation.parquet", found, texts, 5000)
        assert (dataset / "curation.parquet").stat().st_size < 100_000

    hostile = changed_copy(ours, tmp_path / "h.zarr", bomb)
    with pytest.raises(StoreError, match=r"curation\.parquet: expected at most 300,000,000 bytes in 4,096 lines"):
        OPERATIONS[operation](hostile, theirs, tmp_path / "out.zarr")


def test_a_fingerprint_that_exhausts_memory_is_refused(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "salt").write_text("0123456789abcdef")
    write_fingerprint(ours, tmp_path / "salt", tmp_path / "good.parquet")
    good = pq.read_table(tmp_path / "good.parquet")
    for number, (text, n_rows) in enumerate((("0" * 64, 100_000), ("x" * 1_000_000, 10))):
        each = pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array([text]))
        table = pa.Table.from_arrays([each.cast(pa.string())] * good.num_columns, names=good.column_names)
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table.replace_schema_metadata(good.schema.metadata), path)
        with pytest.raises(StoreError, match=r"datagen fingerprint writes.*(different hashes|more than 64)"):
            read_fingerprint(path)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(1000) + b"PAR1"])
@pytest.mark.parametrize("operation", ["subset", "merge", "audit", "publish"])
def test_a_curation_table_that_is_not_parquet_is_refused(
    ours: Path, theirs: Path, tmp_path: Path, data: bytes, operation: str
) -> None:
    hostile = changed_copy(ours, tmp_path / "h.zarr", lambda d: (d / "curation.parquet").write_bytes(data) and None)  # type: ignore[func-returns-value]
    with pytest.raises(StoreError, match=r"curation\.parquet: it is not a Parquet table"):
        OPERATIONS[operation](hostile, theirs, tmp_path / "out.zarr")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"lattice_A": [1]}'], ids=lambda text: text[:12])
def test_a_malformed_structure_is_refused_by_audit(theirs: Path, ours: Path, tmp_path: Path, text: str) -> None:
    def other_hash(dataset: Path) -> None:
        with_table(column("structure", lambda each: [text] * len(each)))(dataset)
        file = dataset / "structure_hash" / "c" / "0" / "0"
        file.write_bytes(Blosc().encode(Blosc().decode(file.read_bytes())[::-1]))

    hostile = changed_copy(theirs, tmp_path / "h.zarr", other_hash)
    with pytest.raises(StoreError, match="a structure is malformed"):
        audit(hostile, ours, train="train", test="train")


def test_a_malformed_fingerprint_is_refused(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "salt").write_text("0123456789abcdef")
    write_fingerprint(ours, tmp_path / "salt", tmp_path / "good.parquet")
    good = pq.read_table(tmp_path / "good.parquet")
    about = dict(good.schema.metadata)
    tables = [
        good.replace_schema_metadata({b"pxrd_fingerprint": b"[]"}),
        good.replace_schema_metadata({b"pxrd_fingerprint": b"{"}),
        good.replace_schema_metadata({}),
        good.drop_columns(["split"]),
        good.set_column(0, "structure", pa.array(list(range(len(good))))).replace_schema_metadata(about),
    ]
    for number, each in enumerate(tables):
        pq.write_table(each, tmp_path / f"{number}.parquet")
        with pytest.raises(StoreError, match="datagen fingerprint writes"):
            read_fingerprint(tmp_path / f"{number}.parquet")


@pytest.fixture
def zipped(ours: Path, tmp_path: Path) -> Path:
    publish(ours, tmp_path / "good.zarr.zip", NAMING, Terms())
    return tmp_path / "good.zarr.zip"


def rewritten(zipped: Path, to: Path, change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> Path:
    """Write the entries of a zip again, each as `change` does it."""
    with zipfile.ZipFile(zipped) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            change(new, zipfile.ZipInfo(entry.filename, entry.date_time), old.read(entry))
    return to


def opened(path: Path, other: Path, out: Path) -> None:
    dataset = locate(str(path))
    verify(dataset)
    merge([dataset, other], out)


def test_names_in_a_zip_that_lead_out_of_the_dataset_are_not_used(zipped: Path, theirs: Path, tmp_path: Path) -> None:
    def planted(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(entry, data)
        if entry.filename == "zarr.json":
            for name in ("../escaped", "/tmp/escaped", "a/../../escaped", "C:\\escaped", "ledger/../../escaped.json"):
                new.writestr(name, b"x")

    subset(locate(str(rewritten(zipped, tmp_path / "h.zarr.zip", planted))), tmp_path / "o" / "out.zarr", Selection())
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name]
    assert not Path("/tmp/escaped").exists()
    verify(tmp_path / "o" / "out.zarr")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_an_entry_twice_is_refused(zipped: Path, theirs: Path, tmp_path: Path) -> None:
    def twice(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(entry, data)
        if entry.filename.startswith("pattern_max/c"):
            new.writestr(zipfile.ZipInfo(entry.filename), data[::-1])

    with pytest.raises(StoreError):
        opened(rewritten(zipped, tmp_path / "h.zarr.zip", twice), theirs, tmp_path / "out.zarr")


def test_a_compressed_zip_is_not_inflated(zipped: Path, theirs: Path, tmp_path: Path) -> None:
    def bomb(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(entry, bytes(50_000_000) if entry.filename == "zarr.json" else data, zipfile.ZIP_DEFLATED)

    with pytest.raises(StoreError, match="compressed"):
        opened(rewritten(zipped, tmp_path / "h.zarr.zip", bomb), theirs, tmp_path / "out.zarr")


def patched(zipped: Path, to: Path, name: str, offset: int, data: bytes) -> Path:
    """Change the central directory's entry of a file at an offset from its beginning."""
    content = bytearray(zipped.read_bytes())
    at = content.rindex(name.encode()) - 46
    assert content[at : at + 4] == b"PK\x01\x02"
    content[at + offset : at + offset + len(data)] = data
    to.write_bytes(bytes(content))
    return to


@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (20, struct.pack("<II", 2**32 - 2, 2**32 - 2)),  # 4 GB in a file of some MB
        (24, struct.pack("<I", 2**31)),  # a size that the stored size contradicts
        (42, struct.pack("<I", 2**32 - 2)),  # begins behind the end
        (42, struct.pack("<I", 5)),  # begins within another entry
    ],
    ids=["absurd", "contradictory", "behind-the-end", "overlapping"],
)
@pytest.mark.parametrize("name", ["zarr.json", "pattern_max/c/1/0", "curation.parquet"])
def test_a_zip_with_a_false_directory_is_refused(
    zipped: Path, theirs: Path, tmp_path: Path, name: str, offset: int, data: bytes
) -> None:
    hostile = patched(zipped, tmp_path / "h.zarr.zip", name, offset, data)
    with pytest.raises(StoreError):
        opened(hostile, theirs, tmp_path / "out.zarr")


def test_an_encrypted_entry_is_never_read_as_data(zipped: Path, theirs: Path, tmp_path: Path) -> None:
    def encrypted(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(entry, bytes(byte ^ 85 for byte in data) if entry.filename.startswith("split/c") else data)

    scrambled = rewritten(zipped, tmp_path / "scrambled.zip", encrypted)
    with pytest.raises(StoreError, match="split/c/0"):
        opened(patched(scrambled, tmp_path / "h.zarr.zip", "split/c/0", 8, b"\x01\x00"), theirs, tmp_path / "out.zarr")


def test_a_link_in_a_zip_is_not_followed(zipped: Path, theirs: Path, tmp_path: Path) -> None:
    def link(new: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
        if entry.filename == "curation.parquet":
            entry.external_attr = 0o120777 << 16
            data = os.fsencode(tmp_path / "secret")
        new.writestr(entry, data)

    (tmp_path / "secret").write_text("private key")
    with pytest.raises(StoreError) as refused:
        opened(rewritten(zipped, tmp_path / "h.zarr.zip", link), theirs, tmp_path / "out.zarr")
    assert "private key" not in str(refused.value)


def test_a_malformed_or_truncated_zip_is_refused(zipped: Path, theirs: Path, tmp_path: Path) -> None:
    data = zipped.read_bytes()
    for number, each in enumerate((b"", b"PK", data[:-30], data[len(data) // 2 :], data[: len(data) // 2])):
        (tmp_path / f"{number}.zarr.zip").write_bytes(each)
        with pytest.raises(StoreError):
            opened(tmp_path / f"{number}.zarr.zip", theirs, tmp_path / "out.zarr")
    assert json.loads(locate(str(zipped)).read("zarr.json"))  # type: ignore[union-attr]
