"""Merge datasets of one simulation: equal splits, every structure once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from datagen.errors import StoreError
from datagen.progress import Display, one_line
from datagen.share.compose import Recipe, compose, layout_of_rows, refuse_taken
from datagen.share.contradictions import refuse_contradictions
from datagen.share.curation_table import SourceRow, write_lines
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.origins import derived_attributes
from datagen.store.location import Location, Where
from datagen.store.schema import SPLITS

RULE = "of rows with the same structure hash the first with a density is kept, without any density the first"
"""First: in the order of the arguments, then by row."""
RULE_FOR_SCANS = "of equal measured scans the first is kept"
MUST_AGREE = ("format_version", "physics_version", "simulation", "curation", "density", "measured")
"""Parts of the configuration that must be equal."""


@dataclass(frozen=True)
class MergeSummary:
    """Numbers of structures of a merge."""

    n_structures: int
    n_taken: tuple[int, ...]
    """From each dataset."""
    n_duplicates: int


def merge(datasets: Sequence[Where], out: Path, display: Display | None = None) -> MergeSummary:
    """Merge all rows in the order of the arguments; a rule decides which duplicates are kept."""
    refuse_taken(out)
    if len(datasets) < 2:
        raise StoreError(f"{out}: expected two datasets or more to merge, found {len(datasets)}")
    sources = [open_finished(path) for path in datasets]
    refuse_identical(sources)
    refuse_differences(sources)
    refuse_groups_in_two_splits(sources)
    rows, kept_row_of = rows_to_take(sources)
    refuse_contradictions(sources, kept_row_of)
    taken = tuple(sum(source == number for source, _ in rows) for number in range(len(sources)))
    numbers = {row: new for new, row in enumerate(rows)}
    recipe = Recipe(
        sources,
        rows,
        layout_of_rows(sources, rows, sources[0].layout.n_augmentations),
        derived_attributes(
            "merge", sources, taken, {"duplicates": RULE_FOR_SCANS if sources[0].layout.measured else RULE}
        ),
        partial(write_lines, sources=sources, new_rows=numbers, kept_row_of=kept_row_of, only_rows=False),
    )
    compose(out, recipe, display)
    return MergeSummary(len(rows), taken, len(kept_row_of))


def refuse_identical(sources: Sequence[FinishedDataset]) -> None:
    """Raise if two datasets have the same content."""
    seen: dict[str, Location] = {}
    for source in sources:
        if source.content in seen:
            raise StoreError(f"{source.path}: is identical to {seen[source.content]}; name it once")
        seen[source.content] = source.path


def refuse_differences(sources: Sequence[FinishedDataset]) -> None:
    """Raise if the datasets differ in a setting that must agree; the message gives both values."""
    first = sources[0]
    for source in sources[1:]:
        different = [
            line
            for part in MUST_AGREE
            for line in differences(part, first.configuration.get(part), source.configuration.get(part))
        ]
        different += differences(
            "reflections", first.attributes.get("reflections"), source.attributes.get("reflections")
        )
        a, b = first.layout.with_patterns, source.layout.with_patterns
        different += differences("store.patterns", "all" if a else "none", "all" if b else "none")
        if not different and not _same_angles(first, source):
            different = ["two_theta: the angles"]
        if different:
            hint = ""
            if any(line.startswith("simulation.augmentation.count:") for line in different):
                hint = "; datagen subset --patterns makes the number of patterns equal"
            raise StoreError(
                f"{source.path} cannot be merged with {first.path}: they differ in\n  "
                + "\n  ".join(one_line(line, 500) for line in different)
                + f"\nrun both with the same settings{hint}"
            )


def differences(name: str, a: Any, b: Any) -> list[str]:
    """Return where two nested values differ, as lines `name: a and b`."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = sorted({*a, *b}, key=str)
        return [line for key in keys for line in differences(f"{name}.{key}", a.get(key), b.get(key))]
    return [] if a == b else [f"{name}: {a} and {b}"]


def refuse_groups_in_two_splits(sources: Sequence[FinishedDataset]) -> None:
    """Raise if one group is in different splits, which would leak training data into tests."""
    split_of: dict[str, tuple[int, Location]] = {}
    for source in sources:
        for group, split in zip(source.column("group"), source.column("split").tolist(), strict=True):
            before, where = split_of.setdefault(group, (split, source.path))
            if before != split:
                raise StoreError(
                    f"{source.path}: group {one_line(group, 200)} is in split {SPLITS[split]}, in {where} in split "
                    f"{SPLITS[before]}; expected one split per group: the datasets were split by different versions"
                )


def rows_to_take(sources: Sequence[FinishedDataset]) -> tuple[list[SourceRow], dict[SourceRow, SourceRow]]:
    """Return the rows that are kept, in order, and the kept row for every duplicate."""
    best: dict[str, SourceRow] = {}
    with_density = [_has_density(source) for source in sources]
    hashes = [_identities(source) for source in sources]
    for number, each in enumerate(hashes):
        for row, structure in enumerate(each):
            kept = best.setdefault(structure, (number, row))
            if with_density[number][row] and not with_density[kept[0]][kept[1]]:
                best[structure] = (number, row)
    rows: list[SourceRow] = []
    kept_row_of: dict[SourceRow, SourceRow] = {}
    for number, each in enumerate(hashes):
        for row, structure in enumerate(each):
            if best[structure] == (number, row):
                rows.append((number, row))
            else:
                kept_row_of[number, row] = best[structure]
    return rows, kept_row_of


def _identities(source: FinishedDataset) -> list[str]:
    """Return what equal rows have in common: the structure, of measured patterns the scan."""
    if source.layout.measured:
        return [row.tobytes().hex() for row in source.column("scan_sha256")]
    found: list[str] = source.column("structure_hash").tolist()
    return found


def _has_density(source: FinishedDataset) -> list[bool]:
    if source.layout.density_method is None:
        return [False] * source.layout.n_structures
    return [bool(v) for v in source.column("has_density")]


def _same_angles(a: FinishedDataset, b: FinishedDataset) -> bool:
    angles = [each.column("two_theta") for each in (a, b)]
    return bool(np.array_equal(angles[0], angles[1]))
