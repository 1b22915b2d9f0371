"""Differences of two datasets: settings, versions, structures, labels, patterns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from datagen.progress import Display, Silence
from datagen.share.finished import FinishedDataset, open_finished
from datagen.share.merge import differences
from datagen.share.origins import DERIVED_FROM
from datagen.share.row_reader import RowReader
from datagen.store import schema
from datagen.store.location import Where


@dataclass
class Difference:
    """Differences of two datasets; rows are matched by structure hash, in any order."""

    same_content: bool = False
    """Every byte of data is equal."""
    settings: list[str] = field(default_factory=list)
    """`name: value in A and value in B`: configuration, software, instrument, engine."""
    added: list[str] = field(default_factory=list)
    """Source ids of structures that only the second has."""
    removed: list[str] = field(default_factory=list)
    """Source ids of structures that only the first has."""
    n_common: int = 0
    """Structures that both have."""
    relabelled: dict[str, int] = field(default_factory=dict)
    """Label -> common structures for which it differs."""
    n_patterns_compared: int = 0
    n_patterns_changed: int = 0
    largest_change_steps: int = 0
    """Of a stored pattern, in quantisation steps."""
    not_compared: str = ""
    """Reason if patterns could not be compared."""

    @property
    def equal(self) -> bool:
        """Whether the datasets differ in the order of rows at most."""
        rows = self.added or self.removed or self.relabelled or self.n_patterns_changed
        return self.same_content or not (self.settings or rows or self.not_compared)


def diff(a: Where, b: Where, *, patterns: bool = True, display: Display | None = None) -> Difference:
    """Compare two finished datasets; `patterns` reads and compares all patterns too."""
    first, second = open_finished(a), open_finished(b)
    found = Difference(same_content=first.content == second.content)
    if found.same_content:
        found.n_common = first.layout.n_structures
        return found
    for name in ("configuration", "software", "instrument", "engine"):
        found.settings += differences(name, first.attributes.get(name), second.attributes.get(name))
    if first.attributes.get(DERIVED_FROM) != second.attributes.get(DERIVED_FROM):
        found.settings.append(f"{DERIVED_FROM}: {_origin(first)} and {_origin(second)}")
    rows_a, rows_b = _rows_by_hash(first), _rows_by_hash(second)
    found.removed = _names(first, [row for h, row in rows_a.items() if h not in rows_b])
    found.added = _names(second, [row for h, row in rows_b.items() if h not in rows_a])
    common = [(row, rows_b[h]) for h, row in rows_a.items() if h in rows_b]
    found.n_common = len(common)
    found.relabelled = _relabelled(first, second, common)
    if patterns:
        _compare_patterns(first, second, common, found, display or Silence())
    return found


def _origin(dataset: FinishedDataset) -> str:
    origin = dataset.attributes.get(DERIVED_FROM)
    if origin is None:
        return "a run"
    return f"{origin['operation']} of {', '.join(s['content_sha256'][:12] for s in origin['sources'])}"


def _rows_by_hash(dataset: FinishedDataset) -> dict[str, int]:
    found: dict[str, int] = {}
    for row, structure in enumerate(dataset.column("structure_hash").tolist()):
        found.setdefault(structure, row)
    return found


def _names(dataset: FinishedDataset, rows: list[int]) -> list[str]:
    return [str(name) for name in dataset.column("source_id")[rows]]


def _relabelled(a: FinishedDataset, b: FinishedDataset, common: list[tuple[int, int]]) -> dict[str, int]:
    if not common:
        return {}
    rows_a = np.array([row for row, _ in common], dtype=np.int64)
    rows_b = np.array([row for _, row in common], dtype=np.int64)
    found = {}
    for variable in schema.LABELS:
        values_a, values_b = a.column(variable.name)[rows_a], b.column(variable.name)[rows_b]
        differs = ~(values_a == values_b)
        if values_a.dtype.kind == "f":
            differs &= ~(np.isnan(values_a) & np.isnan(values_b))
        if count := int(differs.reshape(len(common), -1).any(axis=1).sum()):
            found[variable.name] = count
    return found


def _compare_patterns(
    a: FinishedDataset, b: FinishedDataset, common: list[tuple[int, int]], found: Difference, display: Display
) -> None:
    if not (a.layout.with_patterns and b.layout.with_patterns):
        if a.layout.with_patterns or b.layout.with_patterns:
            found.not_compared = "only one of them has patterns"
        return
    if not np.array_equal(a.column("two_theta"), b.column("two_theta")):
        found.not_compared = "their angles differ"
        return
    count = min(a.layout.n_augmentations, b.layout.n_augmentations)
    readers = [RowReader(each, replace(each.layout, n_augmentations=count), only=("pattern",)) for each in (a, b)]
    with display.phase("compare", len(common), "structures"):
        for done, (row_a, row_b) in enumerate(common, start=1):
            values_a, values_b = readers[0].values(row_a)["pattern"], readers[1].values(row_b)["pattern"]
            steps = np.abs(values_a.astype(np.int64) - values_b.astype(np.int64)).max(axis=1)
            found.n_patterns_compared += count
            found.n_patterns_changed += int((steps > 0).sum())
            found.largest_change_steps = max(found.largest_change_steps, int(steps.max()))
            display.advance(done)
