"""Verification of a dataset: its files against the ledger, and a sample of patterns recomputed; read-only."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from datagen.errors import StoreError
from datagen.inspect.reflections import different, made_again, stored_reflections
from datagen.inspect.regenerate import StructureWithheldError, regenerate
from datagen.inspect.verify_labels import label_mistakes
from datagen.progress import Display, Silence, one_line
from datagen.steps.row import STRAINED_CELL, strained_cells
from datagen.store import ledger, reading, schema
from datagen.store.bounded_table import CURATION_TABLE, read_batches
from datagen.store.damaged import MALFORMED, damage_explained
from datagen.store.location import Where, location_of

DEEP_SAMPLE = 64
CHECKING_THREADS = 4
"""Checksums are computed without the interpreter's lock; elsewhere than in a folder the place itself asks for several
files at a time."""
SHOWN = 20
MANY_MISSING = 10_000
"""Receipts: more than that are counted, not looked for one by one."""


@dataclass
class Findings:
    """What verification saw."""

    n_files: int = 0
    n_bytes: int = 0
    n_shards: int = 0
    n_structures: int = 0
    regenerated: int = 0
    """Patterns, or reflections where there are none, made again and found equal, bit for bit."""
    mistakes: list[str] = field(default_factory=list)

    def raise_if_any(self, dataset: Where) -> None:
        """Stop with every mistake listed."""
        if not self.mistakes:
            return
        shown = self.mistakes[:SHOWN]
        more = len(self.mistakes) - len(shown)
        lines = [f"{dataset}: {len(self.mistakes)} mistakes found", *shown, *([f"and {more} more"] if more else [])]
        raise StoreError(
            "\n  ".join(lines)
            + "\nIf a run made it, re-run the same command: it repairs what is damaged and keeps the rest. "
            "If it was copied or downloaded, fetch it again."
        )


def verify(dataset: Where, *, sample: int = 0, display: Display | None = None) -> Findings:
    """Recompute every checksum and count, and regenerate `sample` patterns spread over the dataset."""
    display = display or Silence()
    findings = Findings()
    attributes, layout = reading.read_metadata(dataset)
    if not attributes.get("complete"):
        findings.mistakes.append("the dataset is not complete: expected every shard and the mark of completion")
    with damage_explained(dataset, "its ledger"):
        frame = _check_frame(dataset, findings)
        receipts = _check_shards(dataset, layout, findings, display)
        _check_counts(dataset, layout, receipts, findings)
        if not findings.mistakes:
            _check_nothing_else(dataset, layout, ledger.named_files(receipts.values(), frame), findings)
    if not findings.mistakes and not layout.measured and sample:
        findings.mistakes += label_mistakes(dataset)
    if not findings.mistakes and not layout.measured:
        _check_sample(dataset, layout, sample, findings, display)
    findings.raise_if_any(dataset)
    return findings


def _check_frame(dataset: Where, findings: Findings) -> dict[str, dict[str, Any]] | None:
    frame = ledger.read_frame(dataset)
    if frame is None:
        findings.mistakes.append(f"{ledger.FOLDER}/{ledger.FRAME}: expected the frame's receipt, found none")
        return None
    findings.mistakes += [str(damage) for damage in ledger.damages(dataset, frame)]
    _count_files(frame, findings)
    return frame


def _check_nothing_else(dataset: Where, layout: schema.Layout, named: set[str], findings: Findings) -> None:
    """Files of the arrays that no receipt names, as of an older version, would be read as their values."""
    for variable in schema.variables(layout):
        for name in location_of(dataset).below(variable.name) or ():
            if name not in named and not PurePosixPath(name).name.startswith("."):
                findings.mistakes.append(f"{one_line(name, 200)}: expected no such file, since no receipt names it")


def _check_shards(
    dataset: Where, layout: schema.Layout, findings: Findings, display: Display
) -> dict[int, ledger.Receipt]:
    receipts: dict[int, ledger.Receipt] = {}
    listed = location_of(dataset).names(ledger.FOLDER)
    if listed is not None and layout.n_shards > len(listed) + MANY_MISSING:
        findings.mistakes.append(f"expected {layout.n_shards:,} receipts of shards, found {len(listed):,} files")
        return receipts
    with display.phase("verify", layout.n_shards, "shards"):
        for shard, (receipt, mistakes) in enumerate(_looked_at(dataset, layout.n_shards)):
            findings.mistakes += mistakes
            if receipt is not None:
                receipts[shard] = receipt
                _count_files(receipt.files, findings)
            display.advance(shard + 1)
    findings.n_shards = len(receipts)
    return receipts


def _looked_at(dataset: Where, n_shards: int) -> Iterator[tuple[ledger.Receipt | None, list[str]]]:
    if not isinstance(dataset, Path):
        yield from map(partial(_look_at_shard, dataset), range(n_shards))
        return
    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        yield from pool.map(partial(_look_at_shard, dataset), range(n_shards))


def _look_at_shard(dataset: Where, shard: int) -> tuple[ledger.Receipt | None, list[str]]:
    """The shard's receipt, where it can be read, and what is wrong with its files."""
    try:
        receipt = ledger.read(dataset, shard)
    except StoreError as unreadable:
        return None, [str(unreadable)]
    if receipt is None:
        return None, [f"shard {shard}: expected its receipt, found none"]
    return receipt, [str(damage) for damage in ledger.damages(dataset, receipt.files)]


def _count_files(files: dict[str, dict[str, int | str]], findings: Findings) -> None:
    findings.n_files += len(files)
    findings.n_bytes += sum(int(entry["size"]) for entry in files.values())


def _check_counts(
    dataset: Where, layout: schema.Layout, receipts: dict[int, ledger.Receipt], findings: Findings
) -> None:
    findings.n_structures = sum(receipt.n_structures for receipt in receipts.values())
    if findings.n_structures != layout.n_structures and len(receipts) == layout.n_shards:
        findings.mistakes.append(
            f"expected {layout.n_structures} structures, the receipts count {findings.n_structures}"
        )
    try:
        with location_of(dataset).arrow_file(CURATION_TABLE) as table:
            rows = [int(n) for part in read_batches(table, ["row"]) for n in part["row"].drop_null().to_pylist()]
    except FileNotFoundError:
        findings.mistakes.append(f"{CURATION_TABLE}: expected the verdict on every input, found no file")
        return
    except (*MALFORMED, StoreError) as damaged:
        findings.mistakes.append(f"{CURATION_TABLE}: cannot be read ({one_line(damaged, 200)})")
        return
    if sorted(rows) != list(range(layout.n_structures)):
        findings.mistakes.append(f"{CURATION_TABLE}: expected a line for each row 0 to {layout.n_structures - 1}")


def _check_sample(dataset: Where, layout: schema.Layout, sample: int, findings: Findings, display: Display) -> None:
    """Patterns evenly spread over the rows, each of another augmentation, so that repeated checks see the same."""
    count = min(sample, layout.n_structures)
    if not count:
        return
    if layout.format_version > 1:
        _check_reflections(dataset, layout, count, findings, display)
    if not layout.with_patterns:
        return
    patterns = reading.open_array(dataset, "pattern")
    with display.phase("replay", count, "patterns"):
        for i in range(count):
            row = (2 * i + 1) * layout.n_structures // (2 * count)
            augmentation = (37 * i) % layout.n_augmentations
            try:
                made = regenerate(dataset, row, [augmentation])
            except StructureWithheldError:
                continue  # its checksums were tested; the count of patterns made again says how many could be
            with damage_explained(dataset, f"pattern {augmentation} of row {row}"):
                kept = np.asarray(patterns[row, augmentation])
            if not np.array_equal(kept, made.stored[0]):
                off = int(np.abs(kept.astype(np.int64) - made.stored[0]).max())
                findings.mistakes.append(
                    f"row {row}, augmentation {augmentation}: made again, the pattern differs by {off} steps; "
                    "expected none on a machine and with versions like those of the run"
                )
            if STRAINED_CELL in {draw.name for draw in layout.extra_draws}:
                with damage_explained(dataset, f"{STRAINED_CELL} of row {row}"):
                    cell = np.asarray(reading.open_array(dataset, STRAINED_CELL)[row, augmentation])
                if not np.array_equal(cell, strained_cells(made.patterns, made.drawn, made.crystal)[0]):
                    findings.mistakes.append(
                        f"row {row}, augmentation {augmentation}: {STRAINED_CELL} is not the cell of the pattern"
                    )
            findings.regenerated += 1
            display.advance(i + 1)


def _check_reflections(dataset: Where, layout: schema.Layout, count: int, findings: Findings, display: Display) -> None:
    """Reflections of the same rows; counted only in datasets without patterns."""
    with display.phase("replay", count, "structures"):
        for i in range(count):
            row = (2 * i + 1) * layout.n_structures // (2 * count)
            try:
                made = made_again(dataset, row)
            except StructureWithheldError:
                continue
            if names := different(stored_reflections(dataset, row), made):
                findings.mistakes.append(
                    f"row {row}: made again, {', '.join(names)} differ; expected equal bits on a machine and with "
                    "versions like those of the run"
                )
            findings.regenerated += not layout.with_patterns
            display.advance(i + 1)
