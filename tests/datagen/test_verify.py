from __future__ import annotations

import json
from pathlib import Path

import pytest

from datagen.errors import StoreError
from datagen.inspect.verify import verify
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
    from datagen.store.ledger import entry_of

    ledger["files"]["zarr.json"] = entry_of(text)
    frame.write_text(json.dumps(ledger))
    assert verify(copied.dataset).mistakes == []
    with pytest.raises(StoreError, match="made again, the pattern differs by"):
        verify(copied.dataset, sample=2)


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
