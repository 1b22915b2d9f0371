"""Stored patterns of a finished dataset's structures for any instrument: a run whose verdicts are there already.

Patterns are simulated from the structures in `curation.parquet` by the engine itself, not from the stored reflections,
so that every byte is that of a direct run with the same instrument.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from catalogs.atomic_write import replacing
from cluster.config import Profile
from curation.table import COMPRESSION, GROUP_ROWS
from datagen.config.config import DatagenConfig
from datagen.config.fingerprint import attributes_of
from datagen.config.job import WORK
from datagen.config.mistakes import explain
from datagen.config.overrides import apply_overrides, parse_overrides
from datagen.config.phases import use_library, with_library
from datagen.errors import ConfigError, StoreError
from datagen.progress import Display, one_line
from datagen.run import Run, anything_done, at_work, begin
from datagen.share.finished import FinishedDataset
from datagen.share.origins import DERIVED_FROM
from datagen.simulate.phase_library import BUNDLED
from datagen.steps.curate import TABLE, Summary
from datagen.steps.outcome import Outcome
from datagen.steps.reasons import SIMULATION_REASONS
from datagen.steps.structures_table import ADDED
from datagen.store import files
from datagen.store.bounded_table import read_batches

SECTIONS = ("simulation", "store", "run", "cluster")
"""Of a configuration: what may differ from the dataset's; its structures are what they are."""
ORIGIN = "rendered.json"


def render(
    source: FinishedDataset, config: DatagenConfig, out: Path, *, profile: Profile, display: Display | None = None
) -> Outcome:
    """Make stored patterns of all structures of a dataset by `configuration_of`, or resume."""
    began = time.monotonic()
    display = display or Display()
    with at_work(config, out, profile, display) as (workers, lock):
        _refuse_other_source(source, out)
        job = begin(config, out)
        files.write_bytes(out / WORK / ORIGIN, files.to_json({"content_sha256": source.content}))
        return Rendering(config, job, out, workers, lock, display, Outcome(out), began, source=source).make()


def configuration_of(
    source: FinishedDataset, simulation: dict[str, Any], overrides: Sequence[str] = ()
) -> DatagenConfig:
    """Return the configuration of the run that would make the patterns from the dataset's own catalogs."""
    if source.layout.measured:
        raise StoreError(f"{source.path}: its patterns were measured; expected a dataset of simulated ones")
    stated = source.configuration
    content: dict[str, Any] = {
        name: stated[name] for name in ("catalog", "curation", "limits", "density") if name in stated
    }
    content["catalog"] = _distinct(content.get("catalog", []))
    content["simulation"] = {**stated["simulation"], **simulation}
    content["store"] = {**stated["store"], "patterns": "all", "d_min_A": None}
    if source.attributes.get(DERIVED_FROM):
        content["store"]["duplicates"] = "keep"  # what is in the dataset was chosen
    parsed = parse_overrides(overrides)
    for override in parsed:
        if override.place[0] not in SECTIONS:
            raise ConfigError(
                f"--set {override.text}: expected a setting of {', '.join(SECTIONS)}; the structures of "
                f"{source.path} are curated already"
            )
    try:
        use_library(source.path, stated["simulation"]["augmentation"].get("phase_library", BUNDLED))
        config = DatagenConfig.model_validate(with_library(apply_overrides(content, parsed), Path.cwd()))
    except ValidationError as error:
        places = [override.place for override in parsed]
        raise ConfigError(explain(error, DatagenConfig, f"configuration of {source.path}", places)) from None
    if config.store.patterns != "all":
        raise ConfigError("store.patterns: expected 'all', found 'none'; rendering is the making of patterns")
    return config


def _distinct(catalogs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number catalogs of one name, as those of a merged dataset; none of them is read."""
    taken: set[str] = set()
    found = []
    for catalog in catalogs:
        stated = str(catalog.get("name"))
        numbered = (f"{stated}-{number}" for number in count(2))
        name = stated if stated not in taken else next(n for n in numbered if n not in taken)
        taken.add(name)
        found.append({**catalog, "name": name})
    return found


@dataclass(frozen=True)
class Rendering(Run):
    """A run that takes its verdicts from a finished dataset."""

    source: FinishedDataset = field(kw_only=True)

    def curate(self) -> Summary:
        """Copy the table of verdicts, unless an interrupted call did."""
        began = time.monotonic()
        table = self.work / TABLE
        if not table.exists():
            with self.display.phase("verdicts", None, ""):
                _write_verdicts(self.source, table)
        status = pq.read_table(table, columns=["status", "reason"]).to_pylist()
        counts = Counter(line["reason"] or line["status"] for line in status)
        return Summary(table, len(status), counts, len(status), time.monotonic() - began)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a direct run; the structures' part is that of the dataset."""
        found = attributes_of(self.config)
        stated = self.source.configuration
        kept = {name: stated[name] for name in ("catalog", "curation", "limits", "code") if name in stated}
        found["configuration"] = {**found["configuration"], **kept}
        if derived := self.source.attributes.get(DERIVED_FROM):
            found["rendered_from"] = {"content_sha256": self.source.content, DERIVED_FROM: derived}
        return found


def _write_verdicts(source: FinishedDataset, table: Path) -> None:
    """Write the verdicts as curation left them: structures quarantined by the dataset's own run are accepted again.

    A derived dataset is taken row by row instead.
    """
    with source.verdicts() as file:
        described = pq.read_schema(file)
    names = [name for name in described.names if name not in {added.name for added in ADDED}]
    schema = pa.schema([described.field(name) for name in names], metadata=described.metadata)
    lines = _in_order(source, names) if source.attributes.get(DERIVED_FROM) else _lines(source, [*names, "row"])
    with replacing(table) as temporary, pq.ParquetWriter(temporary, schema, **COMPRESSION) as writer:
        while group := [_as_curated(source, line) for line in islice(lines, GROUP_ROWS)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _as_curated(source: FinishedDataset, line: dict[str, Any]) -> dict[str, Any]:
    row = line.pop("row")
    if row is not None and line["structure"] is None:
        raise StoreError(
            f"{source.path}: the coordinates of row {row} ({one_line(line['source_id'], 80)}) were withheld when "
            "this dataset was published, so that no pattern can be made; take the open structures with "
            "datagen subset --where"
        )
    # Curation has a reason of the same name for structures without any reflection.
    if line["reason"] in SIMULATION_REASONS and line["structure"] and line["n_reflections"]:
        line |= {"status": "accepted", "reason": None, "detail": ""}
    return line


def _in_order(source: FinishedDataset, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the lines that have a row in the order of the rows, which is mostly that of the table."""
    lines = (line for line in _lines(source, [*names, "row"]) if line["row"] is not None)
    rows = [line["row"] for line in _lines(source, ["row"]) if line["row"] is not None]
    return lines if rows == sorted(rows) else iter(sorted(lines, key=lambda line: int(line["row"])))


def _lines(source: FinishedDataset, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with source.verdicts() as file:
        for batch in read_batches(file, names):
            yield from batch.to_pylist()


def _refuse_other_source(source: FinishedDataset, out: Path) -> None:
    path = out / WORK / ORIGIN
    if not path.exists():
        if anything_done(out):
            raise StoreError(f"{out}: was begun by datagen run; choose another folder with --out")
        return
    before = json.loads(path.read_bytes())["content_sha256"]
    if before != source.content:
        raise StoreError(
            f"{out}: was begun from another dataset (content {before[:12]}), {source.path} has content "
            f"{source.content[:12]}; choose another folder with --out"
        )
