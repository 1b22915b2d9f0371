"""Seeded damage to datasets: metadata, receipts, tables, chunks and names, with or without a matching ledger."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numcodecs import Blosc

from tests.share.hostile import reseal

TOKEN = "canary-5f1d7c"
"""Content of files outside the dataset; no command may print or copy it."""
EVIL_TEXT = (
    "", "\x1b[31m\x1b]0;x\x07", "[/red][bold]", "../../canary/secret.txt", "/etc/hostname", "a\nb\x00c", "x" * 100_000,
    "nan", "<script>", "\u202e", "s3://nowhere/x",
)  # fmt: skip
EVIL_NUMBERS = (0, -1, 1, 10**12, 10**30, 2**31, 2**63, -(2**63), 1e308, float("nan"), float("inf"), 0.5)
Mutation = Callable[[random.Random, Path, Path], str]


def mutate(seed: int, dataset: Path, canary: Path) -> list[str]:
    """Damage the dataset in place; return what was done. A function of the seed and the dataset's files."""
    rng = random.Random(seed)
    done = [rng.choice(MUTATIONS)(rng, dataset, canary) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    if rng.random() < 0.6:
        try:
            reseal(dataset)
            done.append("ledger made to match")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            done.append("ledger too damaged to match")
    return done


def _files(dataset: Path, suffixes: tuple[str, ...] | None = None) -> list[Path]:
    found = sorted(p for p in dataset.rglob("*") if p.is_file() and not p.is_symlink())
    return [p for p in found if suffixes is None or p.suffix in suffixes]


def _chunks(dataset: Path) -> list[Path]:
    return [p for p in _files(dataset) if "c" in p.relative_to(dataset).parts]


def _value(rng: random.Random) -> Any:
    return rng.choice(
        (
            lambda: None,
            lambda: rng.choice((True, False)),
            lambda: rng.choice(EVIL_NUMBERS),
            lambda: rng.choice(EVIL_NUMBERS),
            lambda: rng.choice(EVIL_TEXT),
            lambda: rng.choice(EVIL_TEXT),
            list,
            dict,
            lambda: [rng.choice(EVIL_NUMBERS)] * rng.choice((1, 3, 1000)),
            lambda: {rng.choice(EVIL_TEXT): rng.choice(EVIL_NUMBERS)},
        )
    )()


def _nodes(content: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every value in a JSON document."""
    found: list[tuple[Any, Any]] = []
    waiting = [content]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else list(range(len(here))) if isinstance(here, list) else []
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def change_json_value(rng: random.Random, dataset: Path, canary: Path) -> str:
    """Replace, remove, rename or repeat a value of a JSON file."""
    files = [p for p in _files(dataset, (".json",)) if p.stat().st_size]
    main = [p for p in files if p.parent == dataset or p.parent.name == "ledger"]
    path = rng.choice(main if main and rng.random() < 0.7 else files)
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return "json already damaged"
    nodes = _nodes(content)
    if not nodes:
        return "empty json"
    container, key = rng.choice(nodes)
    kind = rng.choice(("replace", "replace", "replace", "remove", "rename", "whole"))
    if kind == "whole":
        content = _value(rng)
    elif kind == "remove":
        del container[key]
    elif kind == "rename" and isinstance(container, dict):
        container[str(rng.choice(EVIL_TEXT))] = container.pop(key)
    else:
        container[key] = _value(rng)
    path.write_text(json.dumps(content))
    return f"{kind} {key!r} in {path.relative_to(dataset)}"


def nest_json(rng: random.Random, dataset: Path, canary: Path) -> str:
    """Replace a JSON file by brackets nested 100,000 deep."""
    path = rng.choice(_files(dataset, (".json",)))
    path.write_text("[" * 100_000 + "]" * 100_000)
    return f"nest {path.relative_to(dataset)}"


def change_bytes(rng: random.Random, dataset: Path, canary: Path) -> str:
    """Flip, cut, empty, repeat or randomise the bytes of a file."""
    path = rng.choice(_files(dataset))
    raw = bytearray(path.read_bytes())
    kind = rng.choice(("flip", "flip", "cut", "empty", "random", "longer"))
    if kind == "flip" and raw:
        for _ in range(rng.choice((1, 3, 30))):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    elif kind == "cut":
        raw = raw[: rng.randrange(len(raw) + 1)]
    elif kind == "empty":
        raw = bytearray()
    elif kind == "random":
        raw = bytearray(rng.randbytes(rng.choice((16, 1000))))
    else:
        raw += raw[:4096]
    path.write_bytes(raw)
    return f"{kind} bytes of {path.relative_to(dataset)}"


@cache
def _bomb() -> bytes:
    """Return 256 MiB of zeros, compressed to about 1 MB."""
    return bytes(Blosc(cname="zstd", clevel=9).encode(np.zeros(1 << 25)))


def inflate_chunk(rng: random.Random, dataset: Path, canary: Path) -> str:
    """Replace a chunk by one that inflates, or that states it would."""
    chunks = _chunks(dataset)
    if not chunks:
        return "no chunks"
    path = rng.choice(chunks)
    if rng.random() < 0.3:
        path.write_bytes(_bomb())
        return f"bomb in {path.relative_to(dataset)}"
    raw = bytearray(path.read_bytes())
    # Size before compression in a Blosc header; in a shard its first chunk is first.
    if len(raw) >= 16:
        raw[4:8] = struct.pack("<I", rng.choice((2**31 - 1, 2**32 - 1, 0, 2**30)))
    path.write_bytes(raw)
    return f"false size in {path.relative_to(dataset)}"


TABLE_CHANGES = (
    "fewer", "twice", "drop", "retype", "null", "text", "metadata", "number", "huge", "crystal", "crystal",
)  # fmt: skip


def change_table(rng: random.Random, dataset: Path, canary: Path) -> str:
    """Change rows, columns, types or values of a Parquet table."""
    tables = _files(dataset, (".parquet",))
    if not tables:
        return "no tables"
    path = rng.choice(tables)
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        return "table already damaged"
    if not table.num_columns or not table.num_rows:
        return "empty table"
    kind = rng.choice(
        ("fewer", "twice", "drop", "retype", "null", "text", "metadata", "number", "huge", "crystal", "crystal")
    )
    name = rng.choice(table.column_names)
    at = table.column_names.index(name)
    if kind == "fewer":
        table = table.slice(0, rng.randrange(table.num_rows))
    elif kind == "twice":
        table = pa.concat_tables([table, table])
    elif kind == "drop":
        table = table.drop_columns([name])
    elif kind == "crystal":
        if "structure" not in table.column_names:
            return "no structures"
        lines = [_another_crystal(rng, line) if line else line for line in table["structure"].to_pylist()]
        table = table.set_column(table.column_names.index("structure"), "structure", pa.array(lines, pa.string()))
    elif kind == "metadata":
        table = table.replace_schema_metadata({b"pxrd": json.dumps(_value(rng)).encode(), b"x": b"\xff\xfe"})
    else:
        n = table.num_rows
        column = {
            "null": pa.nulls(n),
            "text": pa.array([rng.choice(EVIL_TEXT)] * n),
            "number": pa.array([float(rng.choice(EVIL_NUMBERS))] * n),
            "huge": pa.array(["y" * 2_000_000] * n).dictionary_encode(),
            "retype": pa.array([[1]] * n),
        }[kind]
        table = table.set_column(at, name, column)
    pq.write_table(table, path)
    return f"{kind} {name} in {path.relative_to(dataset)}"


def _another_crystal(rng: random.Random, text: str) -> str:
    """Replace a value in the stored form of a crystal."""
    try:
        content = json.loads(text)
        container, key = rng.choice(_nodes(content))
    except (ValueError, IndexError, RecursionError):
        return text
    container[key] = _value(rng)
    return json.dumps(content)


def replace_file(rng: random.Random, dataset: Path, canary: Path) -> str:
    """Delete a file, or put a folder, a link out of the dataset, or another file in its place."""
    path = rng.choice(_files(dataset))
    kind = rng.choice(("delete", "folder", "link", "link to folder", "swap"))
    if kind == "swap":
        shutil.copyfile(rng.choice(_files(dataset)), dataset / ".swap")
        (dataset / ".swap").replace(path)
    elif kind == "link to folder" and path.parent != dataset:
        shutil.rmtree(path.parent)
        path.parent.symlink_to(canary)
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(canary / "secret.txt")
    return f"{kind} at {path.relative_to(dataset)}"


MUTATIONS: tuple[Mutation, ...] = (
    change_json_value,
    change_json_value,
    change_json_value,
    change_json_value,
    nest_json,
    change_bytes,
    change_bytes,
    inflate_chunk,
    change_table,
    change_table,
    replace_file,
)
