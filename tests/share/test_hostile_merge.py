"""Merges with hostile or damaged datasets are refused or give the dataset of the undamaged ones; inputs stay equal."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numcodecs import Blosc

from datagen.errors import DatagenError, StoreError
from datagen.inspect.verify import verify
from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.merge import merge
from datagen.share.publish import publish
from datagen.store.location import locate
from tests.faults.runs import content_of, environment
from tests.share.hostile import changed_copy


@pytest.fixture(scope="module")
def published(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(theirs, folder / "theirs.zarr.zip", Naming("Theirs"), Terms())
    return folder / "theirs.zarr.zip"


@pytest.mark.parametrize(("factor", "agrees"), [(1 + 3e-8, True), (1 + 1e-4, False)])
def test_volumes_of_equal_structures_may_differ_as_their_cells_were_rounded(
    ours: Path, theirs: Path, tmp_path: Path, factor: float, agrees: bool
) -> None:
    def scale(dataset: Path) -> None:
        for file in sorted((dataset / "volume" / "c").rglob("*")):
            if file.is_file():
                raw = np.frombuffer(Blosc().decode(file.read_bytes()), np.float64) * factor
                file.write_bytes(Blosc().encode(raw.tobytes()))

    other = changed_copy(theirs, tmp_path / "other.zarr", scale)
    if agrees:
        merge([ours, other], tmp_path / "out.zarr")
        return
    with pytest.raises(StoreError, match="has volume "):
        merge([ours, other], tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("label", "byte"), [("space_group", 7), ("crystal_system", 1), ("n_atoms", 9), ("formula", ord("X"))]
)
def test_a_dataset_that_forges_labels_of_a_structure_of_ours_is_refused(
    ours: Path,
    theirs: Path,
    tmp_path: Path,
    label: str,
    byte: int,
) -> None:
    """Its ledger confirms the forged labels, and its row has a density, so that it would replace ours."""

    def forge(dataset: Path) -> None:
        for file in sorted((dataset / label / "c").rglob("*")):
            if file.is_file():
                raw = np.frombuffer(Blosc().decode(file.read_bytes()), np.uint8).copy()
                raw[raw.nonzero()] = byte
                file.write_bytes(Blosc().encode(raw.tobytes()))

    forged = changed_copy(theirs, tmp_path / "forged.zarr", forge)
    before = content_of(ours)
    with pytest.raises(StoreError, match=rf"structure '[0-9a-f]{{32}}' has {label} "):
        merge([ours, forged], tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()
    assert content_of(ours) == before


def test_a_damaged_publication_is_refused_or_merged_as_the_whole_one(
    ours: Path,
    published: Path,
    tmp_path: Path,
) -> None:
    """Single bytes changed anywhere in the zip file: directory, headers, metadata, receipts, chunks."""
    merge([ours, locate(str(published))], tmp_path / "whole.zarr")
    whole, good = content_of(tmp_path / "whole.zarr"), published.read_bytes()
    rng = random.Random(21)
    places = [rng.randrange(len(good)) for _ in range(20)] + [len(good) - 1 - rng.randrange(4000) for _ in range(10)]
    refused = 0
    for number, place in enumerate(places):
        damaged, out = tmp_path / f"{number}.zarr.zip", tmp_path / f"{number}.zarr"
        data = bytearray(good)
        data[place] ^= 1 << rng.randrange(8)
        damaged.write_bytes(bytes(data))
        try:
            merge([ours, locate(str(damaged))], out)
            verify(out)
        except DatagenError:
            refused += 1
            assert not out.exists(), place
        else:
            assert content_of(out) == whole, place
    assert refused
    assert published.read_bytes() == good


def test_a_refused_merge_stays_small_and_ends_with_one_sentence(
    ours: Path,
    published: Path,
    tmp_path: Path,
) -> None:
    """A zip whose entries overlap: 40,000 names for one chunk, as zip bombs have them."""
    with zipfile.ZipFile(published) as whole, zipfile.ZipFile(tmp_path / "h.zarr.zip", "w") as hostile:
        for entry in whole.infolist():
            hostile.writestr(entry, whole.read(entry))
        first = hostile.infolist()[0]
        for number in range(40_000):
            another = zipfile.ZipInfo(f"pattern/c/{number + 1000}/0/0")
            another.header_offset, another.file_size = first.header_offset, 2**31
            another.compress_size, another.CRC = 2**31, first.CRC
            hostile.filelist.append(another)
    ended = subprocess.run(
        [sys.executable, "-m", "datagen", "merge", ours, tmp_path / "h.zarr.zip", "--out", tmp_path / "out.zarr"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8_000_000_000, 8_000_000_000)),
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "out.zarr").exists()
