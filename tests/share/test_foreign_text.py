"""Text of a dataset from elsewhere reaches the terminal escaped, on the line where it belongs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen.share.compose import Recipe, compose, layout_of_rows
from datagen.share.finished import open_finished
from tests.share.test_cli_share import said

FOREIGN = "\x1b[2J\x9b31m[/red]\u202e\r\ngood: everything"


def with_foreign_text(dataset: Path, out: Path, *, settings: bool = False) -> Path:
    """Write a dataset of the same rows with foreign text in its labels, table and attributes."""
    source = open_finished(dataset)
    for name in ("licence", "source_id", "source"):
        column = [f"{FOREIGN} {row}" if name == "source_id" else FOREIGN for row in range(source.layout.n_structures)]
        source._columns[name] = np.array(column, dtype=object)
    rows = [(0, row) for row in range(source.layout.n_structures)]
    attributes: dict[str, Any] = json.loads(json.dumps(source.attributes))
    attributes["software"][FOREIGN] = FOREIGN
    attributes["source"] = FOREIGN
    attributes["configuration"]["catalog"][0]["name"] = FOREIGN
    if settings:
        attributes["configuration"]["curation"][FOREIGN] = FOREIGN

    def table(path: Path) -> None:
        found = pq.read_table(dataset / "curation.parquet")
        lines = [
            line
            | {"licence": FOREIGN, "source": FOREIGN, "source_id": FOREIGN, "source_metadata": json.dumps({FOREIGN: 1})}
            for line in found.to_pylist()
        ]
        pq.write_table(pa.Table.from_pylist(lines, schema=found.schema), path)

    compose(out, Recipe([source], rows, layout_of_rows([source], rows, 3), attributes, table))
    return out


@pytest.fixture(scope="module")
def foreign(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_foreign_text(ours, tmp_path_factory.mktemp("foreign") / "foreign.zarr")


def output_of(*arguments: object, code: int = 0) -> str:
    """Return everything that a command prints, including the message of the error that ends it."""
    command = [sys.executable, "-m", "datagen", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def assert_harmless(output: str) -> None:
    assert "everything" in output, "the foreign text is shown"
    assert [c for c in output if not c.isprintable() and c != "\n"] == []
    assert [line for line in output.splitlines() if line.startswith("good")] == []


def test_diff_shows_foreign_settings_and_identifiers_escaped(
    foreign: Path, ours: Path, theirs: Path, tmp_path: Path
) -> None:
    assert_harmless(said("diff", ours, foreign, code=1))
    assert_harmless(said("diff", theirs, foreign, "--no-patterns", code=1))


def test_publish_shows_foreign_licences_and_names_of_metadata_escaped(foreign: Path, tmp_path: Path) -> None:
    assert_harmless(said("publish", foreign, tmp_path / "out.zarr", "--yes"))
    named = ("--source-metadata", "none", "--yes")
    assert_harmless(output_of("publish", foreign, tmp_path / "none.zarr", *named, code=2))
    assert_harmless(said("card", foreign))


def test_merge_and_audit_show_foreign_text_escaped(foreign: Path, theirs: Path, ours: Path, tmp_path: Path) -> None:
    other = with_foreign_text(theirs, tmp_path / "other.zarr", settings=True)
    assert_harmless(output_of("merge", foreign, other, "--out", tmp_path / "out.zarr", code=2))
    renamed = tmp_path / f"everything {FOREIGN.replace('/', '')}.zarr"
    renamed.symlink_to(foreign)
    assert_harmless(said("audit", renamed, ours))
    assert_harmless(said("merge", renamed, theirs, "--out", tmp_path / "merged.zarr"))
    assert_harmless(said("diff", ours, renamed, code=1))


def test_the_registry_keeps_and_shows_foreign_licences_escaped(foreign: Path, tmp_path: Path) -> None:
    where = ("--registry", tmp_path / "datasets.toml")
    said("datasets", "add", "foreign", foreign, *where)
    assert "\x1b" not in (tmp_path / "datasets.toml").read_text()
    assert_harmless(said("datasets", "list", *where))
    assert_harmless(said("datasets", "show", "foreign", *where))


@pytest.mark.parametrize(
    ("name", "words"),
    [("group", "group .* is in split"), ("structure", "a structure is malformed")],
)
def test_refusals_quote_foreign_labels_escaped(ours: Path, tmp_path: Path, name: str, words: str) -> None:
    source = open_finished(ours)
    rows = [(0, row) for row in range(source.layout.n_structures)]
    source._columns["group"] = np.array([f"{FOREIGN} {row}" for row, _ in enumerate(rows)], dtype=object)
    source._columns["structure_hash"] = np.array([f"{row:064d}" for row, _ in enumerate(rows)], dtype=object)

    def table(path: Path) -> None:
        found = pq.read_table(ours / "curation.parquet")
        lines = [line | {"structure": FOREIGN} for line in found.to_pylist()]
        pq.write_table(pa.Table.from_pylist(lines, schema=found.schema), path)

    for number in (0, 1):
        source._columns["split"] = np.full(len(rows), number, dtype=np.uint8)
        layout = layout_of_rows([source], rows, 3)
        attributes = {**source.attributes, "title": f"{number}"}
        compose(tmp_path / f"{number}.zarr", Recipe([source], rows, layout, attributes, table))
        source._columns["structure_hash"] = np.array([f"{row + 100:064d}" for row, _ in enumerate(rows)], dtype=object)
    datasets = (tmp_path / "0.zarr", tmp_path / "1.zarr")
    if name == "group":
        output = output_of("merge", *datasets, "--out", tmp_path / "out.zarr", code=2)
    else:
        output = output_of("audit", *datasets, "--train", "train", "--test", "validation", code=2)
    assert_harmless(output)
    assert re.search(words, output)
