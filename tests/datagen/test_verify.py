from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from datagen.errors import StoreError
from datagen.inspect.verify import verify
from datagen.store.ledger import entry_of
from datagen.store.location import locate
from tests.datagen.small_runs import Made, config_of, make


def test_a_good_dataset_is_good_pattern_by_pattern(made: Made) -> None:
    found = verify(made.dataset, sample=64)
    assert found.mistakes == []
    assert found.regenerated == found.n_structures == 5
    assert found.n_shards == 3


def test_an_unfinished_dataset_is_not_good(copied: Made) -> None:
    path = copied.dataset / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["complete"] = False
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="not complete"):
        verify(copied.dataset)


def test_every_mistake_is_listed_and_running_again_mends_them(copied: Made) -> None:
    (copied.dataset / "pattern" / "c" / "0" / "0" / "0").unlink()
    (copied.dataset / "volume" / "c" / "0").write_bytes(b"")
    (copied.dataset / "ledger" / "shard-00002.json").unlink()
    with pytest.raises(StoreError) as found:
        verify(copied.dataset)
    for name in ("pattern/c/0/0/0", "volume/c/0", "shard 2"):
        assert name in str(found.value)
    make(copied.config, copied.dataset)
    assert verify(copied.dataset, sample=5).n_structures == 5


def test_patterns_that_do_not_come_out_again_are_found(copied: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied.dataset / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["configuration"]["simulation"]["seed"] = 1
    text = json.dumps(content).encode()
    path.write_bytes(text)
    frame = copied.dataset / "ledger" / "frame.json"
    ledger = json.loads(frame.read_text())
    ledger["files"]["zarr.json"] = entry_of(text)
    frame.write_text(json.dumps(ledger))
    assert verify(copied.dataset).mistakes == []
    with pytest.raises(StoreError, match="made again, the pattern differs by"):
        verify(copied.dataset, sample=2)


@pytest.mark.parametrize("name", ["space_group", "niggli", "structure_hash", "split"])
def test_labels_that_are_not_those_of_the_table_are_found(copied: Made, name: str) -> None:
    """Arrays and ledger fit together, as those of a forged dataset do."""
    array = zarr.open_group(copied.dataset, mode="r+")[name]
    assert isinstance(array, zarr.Array)
    values = np.asarray(array[:])
    if name == "split":
        values = (values + 1) % 3
    array[:] = values if name == "split" else np.roll(values, 1, axis=0)
    path = copied.dataset / "ledger" / "frame.json"
    frame = json.loads(path.read_text())
    for file in frame["files"]:
        if file.startswith(f"{name}/"):
            frame["files"][file] = entry_of((copied.dataset / file).read_bytes())
    path.write_text(json.dumps(frame))
    assert verify(copied.dataset).mistakes == []
    with pytest.raises(StoreError, match=rf"{name}: row 0 has .*expected the same"):
        verify(copied.dataset, sample=2)


def test_a_structure_of_another_hash_is_found(copied: Made) -> None:
    path = copied.dataset / "curation.parquet"
    table = pq.read_table(path)
    texts = table["structure"].to_pylist()
    at = [i for i, row in enumerate(table["row"].to_pylist()) if row is not None]
    texts[at[0]] = texts[at[1]]
    changed = table.set_column(table.schema.get_field_index("structure"), "structure", pa.array(texts))
    pq.write_table(changed, path)
    frame = copied.dataset / "ledger" / "frame.json"
    content = json.loads(frame.read_text())
    content["files"]["curation.parquet"] = entry_of(path.read_bytes())
    frame.write_text(json.dumps(content))
    assert verify(copied.dataset).mistakes == []
    with pytest.raises(StoreError, match="expected its structure_hash"):
        verify(copied.dataset, sample=5)


def test_files_that_no_receipt_names_are_found(copied: Made, tmp_path: Path) -> None:
    """As of an older version, over which a newer one was copied: Zarr would read them."""
    stray = copied.dataset / "pattern" / "c" / "7" / "0" / "0"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    (copied.dataset / "pattern" / ".DS_Store").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"pattern/c/7/0/0: expected no such file") as found:
        verify(copied.dataset)
    assert "DS_Store" not in str(found.value)
    with zipfile.ZipFile(tmp_path / "d.zarr.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(copied.dataset.rglob("*")):
            if path.is_file() and ".run" not in path.parts:
                archive.write(path, path.relative_to(copied.dataset).as_posix())
    with pytest.raises(StoreError, match=r"pattern/c/7/0/0: expected no such file"):
        verify(locate(str(tmp_path / "d.zarr.zip")))


def test_what_is_no_dataset_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="no dataset here"):
            verify(place)


def test_the_number_of_structures_does_not_depend_on_shards(made: Made, tmp_path: Path) -> None:
    config = config_of(made.dataset.parent / "cifs", store={"structures_per_shard": 64})
    make(config, tmp_path / "d.zarr")
    found = verify(tmp_path / "d.zarr")
    assert (found.n_shards, found.n_structures) == (1, 5)
