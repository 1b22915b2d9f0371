"""Verdicts of a dataset or curation table by the id, file name or hash of a record."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation.settings import CurationSettings
from curation.table import VERDICT_SCHEMA, iterate_rows, read_metadata
from curation.verdict import COLUMNS, Verdict
from datagen.errors import DatagenError, PlanError
from datagen.steps.curate import METADATA_KEY, TABLE, UNFINISHED
from datagen.steps.staging import read_staged
from datagen.store.damaged import damage_explained

_HASH_DIGITS = 6


@dataclass(frozen=True)
class StoredVerdict:
    """A verdict of a table, with the settings it was reached under."""

    verdict: Verdict
    settings: CurationSettings


def tables_in(dataset: Path) -> list[Path]:
    """Return the finished table of a folder, or the batches of a run that is under way or was interrupted."""
    if dataset.is_file():
        return [dataset]
    if (dataset / TABLE).exists():
        return [dataset / TABLE]
    if parts := sorted((dataset / UNFINISHED).glob("verdicts-*.parquet")):
        return parts
    raise PlanError(
        f"{dataset}: expected {TABLE} or an unfinished curation, found neither; name with --dataset "
        "the folder that `datagen run` or `datagen curate` wrote"
    )


def find(dataset: Path, wanted: str) -> list[StoredVerdict]:
    """Return the verdicts that `wanted` names: an id, source/id, file name, material's id, or the start of a hash."""
    with damage_explained(dataset, TABLE):
        return _find(dataset, wanted)


def _find(dataset: Path, wanted: str) -> list[StoredVerdict]:
    tables = tables_in(dataset)
    best: list[tuple[Path, int]] = []
    rank = len(_MATCHERS)
    for table in tables:
        columns = ["source", "source_id", "origin", "structure_hash", "source_metadata"]
        for number, row in enumerate(iterate_rows(table, columns, at_once=4096)):
            for i, matches in enumerate(_MATCHERS[: rank + 1]):
                if matches(row, wanted):
                    best, rank = (best if i == rank else []), i
                    best.append((table, number))
                    break
    return [found for table in tables for found in _rows_at(table, [n for t, n in best if t == table])]


def near_misses(dataset: Path, wanted: str, n: int = 5) -> list[str]:
    """Return ids that are similar to `wanted`."""
    with damage_explained(dataset, TABLE):
        tables = tables_in(dataset)
        ids = [str(row["source_id"]) for t in tables for row in iterate_rows(t, ["source_id"], at_once=4096)]
    lower = {one.lower(): one for one in ids}
    near = difflib.get_close_matches(wanted.lower(), lower, n=n, cutoff=0.5)
    near += [one for one in lower if wanted.lower() in one and one not in near]
    return [lower[one] for one in near[:n]]


def look_up(record: str, dataset: Path) -> StoredVerdict:
    """Return the one verdict of a dataset or curation table that `record` names, with its settings."""
    matches = find(dataset, record)
    if len(matches) == 1:
        return matches[0]
    names = [found.verdict.source_id for found in matches[:5]] or near_misses(dataset, record)
    count = f"found {len(matches):,}" if matches else "found none"
    hint = f": {', '.join(names)}" if matches else f"; did you mean {', '.join(names)}?" if names else ""
    raise DatagenError(f"{dataset}: expected one record {record!r}, {count}{hint}")


def _rows_at(table: Path, numbers: list[int]) -> Iterator[StoredVerdict]:
    if not numbers:
        return
    expected = {field.name: field.type for field in VERDICT_SCHEMA}
    for field in pq.read_schema(table):
        if field.type != expected.get(field.name, field.type):
            raise ValueError(f"column {field.name}: expected {expected[field.name]}, found {field.type}")
    settings = CurationSettings.model_validate(_fingerprint(table)["curation"])
    wanted = set(numbers)
    for number, row in enumerate(iterate_rows(table)):
        if number in wanted:
            # A dataset's table has columns of its own beside the verdict's.
            yield StoredVerdict(Verdict.from_row({name: row[name] for name in COLUMNS if name in row}), settings)


def _fingerprint(table: Path) -> dict[str, Any]:
    """Return the fingerprint of a table, or of the unfinished run that a batch belongs to."""
    about = read_metadata(table).get(METADATA_KEY)
    if about is not None:
        fingerprint: dict[str, Any] = json.loads(about)["fingerprint"]
        return fingerprint
    staged = read_staged(table.parent)
    if staged is None and table.parent.name == UNFINISHED:
        raise PlanError(f"{table}: its catalogs are still being read, or their reading broke off; finish the run first")
    if staged is None:
        raise PlanError(f"{table}: not a table that `datagen curate` wrote; name its folder with --dataset")
    return staged.fingerprint


def _exactly(row: dict[str, Any], wanted: str) -> bool:
    return wanted in (row["source_id"], f"{row['source']}/{row['source_id']}", f"{row['source']}:{row['source_id']}")


def _by_file_or_claim(row: dict[str, Any], wanted: str) -> bool:
    name = row["source_id"].partition("#")[0]
    last = name.rsplit("/", 1)[-1]
    if wanted in (name, last, last.partition(".")[0], row["origin"]):
        return True
    return row["source_metadata"] != "{}" and wanted in json.loads(row["source_metadata"]).values()


def _by_hash(row: dict[str, Any], wanted: str) -> bool:
    return len(wanted) >= _HASH_DIGITS and (row["structure_hash"] or "").startswith(wanted.lower())


def _ignoring_case(row: dict[str, Any], wanted: str) -> bool:
    return str(row["source_id"]).casefold() == wanted.casefold()


_MATCHERS = (_exactly, _by_file_or_claim, _by_hash, _ignoring_case)
"""Best first: only rows of the best kind of match are returned."""
