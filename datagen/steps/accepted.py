"""The accepted structures in one file, of which a task reads single rows by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalogs.atomic_write import replacing
from curation.crystal import Crystal
from curation.labels import N_ELEMENTS
from curation.table import VERDICT_SCHEMA
from datagen.steps.labels import composition, most_reflections
from datagen.steps.shards import first_of_each
from datagen.store.schema import NIGGLI, SPLITS

COLUMNS = (
    *("source", "source_id", "licence", "structure", "structure_hash", "formula", "group", "split"),
    *("crystal_system", "space_group", "volume", "n_atoms", "n_reflections"),
    *("niggli_a", "niggli_b", "niggli_c", "niggli_alpha", "niggli_beta", "niggli_gamma"),
    *("density_path", "density_format", "density_member"),
)
TABLE_ROW = "table_row"
"""Position of the structure in the curation table."""
MOST_REFLECTIONS = "most_reflections"
_COMPOSITION = "composition"
_DERIVED = (
    pa.field(TABLE_ROW, pa.int64()),
    pa.field(_COMPOSITION, pa.list_(pa.float32(), N_ELEMENTS)),
    pa.field(MOST_REFLECTIONS, pa.int64()),
)
_NUMBERS = ("crystal_system", "space_group", "volume", "n_atoms")
_LABELS = (
    *("source", "source_id", "licence", "structure_hash", "group", "formula", "split", _COMPOSITION),
    *_NUMBERS,
)
_AT_ONCE = 4096


def write_accepted(
    curation_table: Path, out: Path, d_min_A: float, *, drop_duplicates: bool, first_lines: Sequence[int] = (0,)
) -> dict[int, int]:
    """Write the accepted rows of the curation table in its order; return the duplicates, line to line.

    Of rows with the same structure the first that names a density is kept, else the first; `first_lines` are the
    lines at which versions of the dataset begin, and what an earlier version keeps stays. The file has Arrow's own
    format, uncompressed: a task maps it and touches only its members' pages. It has what the plan needs of each
    crystal, so that the driver never holds the crystals themselves.
    """
    table = pq.read_table(curation_table, columns=["status", "structure_hash", "density_path"])
    rows = np.flatnonzero(np.asarray(table["status"].to_pylist(), dtype=object) == "accepted")
    taken = table.take(pa.array(rows))
    first = first_of_each(
        taken["structure_hash"].to_pylist(),
        taken["density_path"].is_valid().to_pylist(),
        np.searchsorted(first_lines, rows, side="right").tolist(),
    )
    duplicates = {int(rows[i]): int(rows[f]) for i, f in enumerate(first) if f != i}
    kept = np.zeros(table.num_rows, dtype=bool)
    kept[rows] = True
    if drop_duplicates:
        kept[list(duplicates)] = False

    schema = pa.schema([*(VERDICT_SCHEMA.field(name) for name in COLUMNS), *_DERIVED])
    with replacing(out) as temporary, pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        position = 0
        with pq.ParquetFile(curation_table) as verdicts:
            for batch in verdicts.iter_batches(batch_size=_AT_ONCE, columns=list(COLUMNS)):
                here = np.arange(position, position + batch.num_rows)
                position += batch.num_rows
                chosen = pa.Table.from_batches([batch.append_column(TABLE_ROW, pa.array(here))])
                writer.write_table(_with_facts(chosen.filter(pa.array(kept[here])), d_min_A).select(schema.names))
    return duplicates


def _with_facts(table: pa.Table, d_min_A: float) -> pa.Table:
    """Append each crystal's composition and bound of reflections."""
    fractions = np.zeros((table.num_rows, N_ELEMENTS), dtype=np.float32)
    most = np.zeros(table.num_rows, dtype=np.int64)
    for row, text in enumerate(table["structure"]):
        crystal = Crystal.from_json(text.as_py())
        fractions[row] = composition(crystal)
        most[row] = most_reflections(crystal, d_min_A)
    listed = pa.FixedSizeListArray.from_arrays(pa.array(fractions.ravel()), N_ELEMENTS)
    return table.append_column(_DERIVED[1], listed).append_column(_DERIVED[2], pa.array(most))


class Accepted:
    """The accepted structures, read by position."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = _mapped(path)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def column(self, name: str) -> list[Any]:
        """Return one column as plain values."""
        values: list[Any] = self._table[name].to_pylist()
        return values

    def by_version(self, first_lines: Sequence[int]) -> list[range]:
        """Return the positions of each version of the dataset, whose lines begin at these."""
        table_rows = np.asarray(self.column(TABLE_ROW), dtype=np.int64)
        first = [*np.searchsorted(table_rows, first_lines).tolist(), len(self)]
        return [range(a, b) for a, b in pairwise(first)]

    def rows(self, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Yield the rows of these structures as plain values, in the given order."""
        table = self._table.drop_columns([_COMPOSITION])
        for position in positions:
            yield table.slice(position, 1).to_pylist()[0]

    def labels(self, order: Sequence[int]) -> dict[str, LabelColumn]:
        """Return the store's label columns for structures in this order.

        They read a map of their own, whose pages are given back when they are no longer used.
        """
        table = _mapped(self._path).select([*_LABELS, *(f"niggli_{p}" for p in NIGGLI)])
        whole = list(order) == list(range(table.num_rows))
        return {
            name: LabelColumn(table, name, None if whole else np.asarray(order, dtype=np.int64))
            for name in (*_LABELS, "niggli")
        }


class LabelColumn:
    """A label of all structures, read in parts: the labels of a million structures together take gigabytes."""

    def __init__(self, table: pa.Table, name: str, order: NDArray[np.int64] | None) -> None:
        self._table, self._name, self._order = table, name, order

    def __len__(self) -> int:
        return int(self._table.num_rows) if self._order is None else len(self._order)

    def __getitem__(self, which: int | slice) -> Any:
        if not isinstance(which, slice):
            return self[which : which + 1][0] if which >= 0 else self[which + len(self)]
        start, stop, _ = which.indices(len(self))
        name = self._name
        if name == "niggli":
            return np.stack([self._values(f"niggli_{p}", start, stop).to_numpy() for p in NIGGLI], axis=1)
        values = self._values(name, start, stop)
        if name == "split":
            return np.array([SPLITS.index(s) for s in values.to_pylist()], dtype=np.uint8)
        if name == _COMPOSITION:
            return values.combine_chunks().flatten().to_numpy().reshape(-1, N_ELEMENTS)
        return values.to_numpy() if name in _NUMBERS else values.to_pylist()

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    def _values(self, name: str, start: int, stop: int) -> pa.ChunkedArray:
        column = self._table[name]
        if self._order is None:
            return column.slice(start, max(stop - start, 0))
        return column.take(pa.array(self._order[start:stop]))


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
