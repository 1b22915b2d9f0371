from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from datagen.store.bounded_table import read_batches, read_lines


def test_lists_of_texts_are_read_across_row_groups(tmp_path: Path) -> None:
    lines = [{"id": f"a{i}", "warnings": [f"warning {i}", "another"][: i % 3]} for i in range(700)]
    schema = pa.schema([("id", pa.string()), ("warnings", pa.list_(pa.string()))])
    with pq.ParquetWriter(tmp_path / "t.parquet", schema) as writer:
        for first in range(0, 700, 100):
            writer.write_table(pa.Table.from_pylist(lines[first : first + 100], schema=schema))
    read = [line for batch in read_batches(tmp_path / "t.parquet", ["warnings", "id"]) for line in batch.to_pylist()]
    assert read == lines
    assert read_lines(tmp_path / "t.parquet", [("id", "in", ["a5", "a650"])]) == [lines[5], lines[650]]
