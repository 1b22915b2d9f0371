"""Nothing outside a dataset is read, written or deleted through links in it or names that it holds."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from datagen.errors import StoreError
from datagen.inspect.verify import verify
from datagen.share.facts import Naming
from datagen.share.licences import Terms
from datagen.share.publish import publish
from datagen.store import ledger, reading
from datagen.store.confined import checked_name, path_inside, refuse_links_out
from datagen.store.location import locate
from tests.datagen.small_runs import Made, make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a file that belongs to the user and not to the dataset."""
    folder = tmp_path / "elsewhere"
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "thesis.tex").write_text("years of work")
    return folder


def link_variable(dataset: Path, target: Path, variable: str = "microstrain") -> None:
    shutil.rmtree(dataset / variable)
    (dataset / variable).symlink_to(target)


@pytest.mark.parametrize("variable", ["microstrain", "ledger", ".run"])
def test_a_run_neither_deletes_nor_writes_through_a_link(copied: Made, elsewhere: Path, variable: str) -> None:
    before = sorted(p.relative_to(elsewhere) for p in elsewhere.rglob("*"))
    link_variable(copied.dataset, elsewhere, variable)
    with pytest.raises(StoreError, match=r"found a link to .*elsewhere, outside of it"):
        make(copied.config, copied.dataset)
    assert sorted(p.relative_to(elsewhere) for p in elsewhere.rglob("*")) == before
    assert (elsewhere / "c" / "thesis.tex").read_text() == "years of work"


def test_a_linked_file_is_not_read(copied: Made, elsewhere: Path) -> None:
    (copied.dataset / "curation.parquet").unlink()
    (copied.dataset / "curation.parquet").symlink_to(elsewhere / "c" / "thesis.tex")
    with pytest.raises(StoreError, match="outside of it"):
        verify(copied.dataset)
    with pytest.raises(StoreError, match="outside of it"):
        reading.open_group(copied.dataset)


def test_links_within_the_dataset_and_to_it_are_fine(copied: Made, tmp_path: Path) -> None:
    (copied.dataset / "curation.parquet").rename(copied.dataset / "moved.parquet")
    (copied.dataset / "curation.parquet").symlink_to("moved.parquet")
    (tmp_path / "link.zarr").symlink_to(copied.dataset)
    refuse_links_out(tmp_path / "link.zarr")
    verify(tmp_path / "link.zarr")


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/shadow", "../../etc/shadow", "a/../../b", "", "..", "c:\\x", "a\0b", "file:///etc/shadow"),
        *("x" * 256, "ä" * 128, "\ud800", "a/" * 16 + "b"),
    ],
)
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected the name of a file inside the dataset"):
        checked_name(name, "d.zarr")
    with pytest.raises(StoreError):
        path_inside(tmp_path, name)


def plant(frame: Path) -> None:
    content = json.loads(frame.read_text())
    content["files"]["../../../../../../etc/shadow"] = {"size": 1, "sha256": "0"}
    frame.write_text(json.dumps(content))


def test_a_ledger_cannot_point_out_of_a_folder(copied: Made, capsys: pytest.CaptureFixture[str]) -> None:
    plant(copied.dataset / ledger.FOLDER / ledger.FRAME)
    with pytest.raises(StoreError, match="expected the name of a file inside the dataset"):
        verify(copied.dataset)


def test_a_ledger_cannot_point_out_of_a_zip(copied: Made, tmp_path: Path) -> None:
    publish(copied.dataset, tmp_path / "p.zarr", Naming("d"), Terms())
    plant(tmp_path / "p.zarr" / ledger.FOLDER / ledger.FRAME)
    with zipfile.ZipFile(tmp_path / "p.zarr.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((tmp_path / "p.zarr").rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(tmp_path / "p.zarr").as_posix())
    with pytest.raises(StoreError, match="expected the name of a file inside the dataset"):
        verify(locate(str(tmp_path / "p.zarr.zip")))


def test_a_receipt_cannot_point_out_of_the_dataset(copied: Made) -> None:
    path = ledger.shard_path(copied.dataset, 0)
    plant(path)
    with pytest.raises(StoreError, match="expected the name of a file inside the dataset"):
        ledger.read(copied.dataset, 0)
