from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datagen.store import ledger
from datagen.store.shard_file import ShardFile, encode_chunk, is_fill
from datagen.store.shard_writer import PARTIAL, clear_partial
from tests.datagen import datasets

WRITE_FOREVER = """
import sys
from pathlib import Path
from datagen.store import ledger
from tests.datagen import datasets
path, layout = Path(sys.argv[1]), datasets.layout_of(8)
print("ready", flush=True)
while True:
    for shard in (0, 1):
        datasets.write_shard(path, layout, shard)
        ledger.revoke(path, shard)
"""


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_instant_a_receipt_stands_for_whole_files_and_the_next_attempt_succeeds(
    tmp_path: Path, seed: int
) -> None:
    layout = datasets.layout_of(8)
    datasets.create(tmp_path / "whole", layout)
    datasets.create(tmp_path / "killed", layout)
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(tmp_path / "killed")], stdout=subprocess.PIPE, cwd=root, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(random.Random(seed).uniform(0.0, 0.6))
        child.send_signal(signal.SIGKILL)
    for receipt in ledger.committed(tmp_path / "killed").values():
        assert not ledger.damages(tmp_path / "killed", receipt.files)
    clear_partial(tmp_path / "killed")
    for name in ("whole", "killed"):
        for shard in (0, 1):
            datasets.write_shard(tmp_path / name, layout, shard)
        shutil.rmtree(tmp_path / name / PARTIAL, ignore_errors=True)

    def files(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        found = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.endswith(".tmp"))
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}

    assert files("killed") == files("whole")


def test_a_chunk_is_written_once(tmp_path: Path) -> None:
    file = ShardFile(tmp_path / "shard", 2)
    file.add(1, b"x")
    with pytest.raises(ValueError, match=r"chunk 1 .* was written already"):
        file.add(1, b"y")
    file.abandon()


def test_a_file_without_chunks_does_not_come_to_be(tmp_path: Path) -> None:
    assert ShardFile(tmp_path / "shard", 2).close() is None
    assert not (tmp_path / "shard").exists()


def test_fill_is_recognised_nan_included() -> None:
    assert is_fill(np.full(3, np.nan), np.nan)
    assert not is_fill(np.array([np.nan, 0.0]), np.nan)
    assert is_fill(np.zeros(3, np.uint8), 0)


def test_compression_is_the_same_every_time_and_whatever_the_byte_order() -> None:
    values = np.random.default_rng(0).integers(0, 8193, (100, 8192)).astype(np.uint16)
    assert encode_chunk(values) == encode_chunk(values.copy()) == encode_chunk(values.astype(">u2"))
