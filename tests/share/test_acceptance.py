"""Two groups' datasets of real crystals, published to S3 and to the web, are merged, audited and trained on from there.

Every number is the one that comes of the same datasets on disk.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from datagen.config.config import config_for_path
from datagen.run import run
from datagen.share.audit import Overlap, audit
from datagen.store.location import locate
from tests.share.chunks import files_of
from tests.share.servers import WebServer, s3_server, web_server
from tests.share.test_cli_share import said
from tests.trainer.test_cli import SMALL, trainer
from trainer.data.store import open_dataset

pytest.importorskip("obstore")
SHARED = 40
"""Structures that both groups have."""
CONFIG = """
[[catalog]]
kind = "folder"
name = "{name}"
path = "cifs"
licence = "CC-BY-4.0"

[simulation]
augmentation = {{ count = 2 }}

[simulation.instrument]
lines = [{{ wavelength_A = 0.619921 }}]
polarisation = 0.99
two_theta_min_deg = 5.0
two_theta_max_deg = 20.0
n_points = 2000

[store]
structures_per_shard = {shard}
"""


@dataclass(frozen=True)
class Groups:
    """Two datasets on disk and where they were published."""

    one: Path
    two: Path
    one_on_s3: str
    two_on_the_web: str
    bucket: str
    web: WebServer


@pytest.fixture(scope="module")
def groups(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Groups]:
    archive = shared_data / "structures" / "materials_project.zip"
    home = tmp_path_factory.mktemp("groups")
    with zipfile.ZipFile(archive) as crystals:
        names = sorted(name for name in crystals.namelist() if name.endswith(".cif"))
        halves = {"one": names[::2], "two": names[1::2] + names[: 2 * SHARED : 2]}
        for name, half in halves.items():
            crystals.extractall(home / name / "cifs", half)
    made = {}
    for name, shard in (("one", 150), ("two", 200)):
        config = home / name / "config.toml"
        config.write_text(CONFIG.format(name=name, shard=shard))
        settings = config_for_path(config, ())
        made[name] = home / name / f"{name}.zarr"
        run(settings, made[name], profile=settings.cluster.choose("inline"))
    on_the_web = home / "htdocs"
    on_the_web.mkdir()
    with s3_server() as bucket, web_server(on_the_web) as web:
        said("publish", made["one"], f"{bucket}/one.zarr", "--name", "One", "--yes")
        said("publish", made["two"], on_the_web / "two.zarr", "--name", "Two", "--yes")
        yield Groups(made["one"], made["two"], f"{bucket}/one.zarr", f"{web.url}/two.zarr", bucket, web)


@pytest.mark.timeout(1800)  # trains six models
def test_merged_audited_and_trained_on_from_there_as_from_disk(groups: Groups, tmp_path: Path) -> None:
    # A merge remembers what it was made of: bytes are compared with a merge of the same publications on disk.
    one, two = tmp_path / "one.zarr", groups.web.folder / "two.zarr"
    said("publish", groups.one, one, "--name", "One", "--yes")
    for name, a, b in (
        ("plain", groups.one, groups.two),
        ("disk", one, two),
        ("away", groups.one_on_s3, groups.two_on_the_web),
    ):
        told = said("merge", a, b, "--out", tmp_path / f"{name}.zarr")
        duplicates = re.search(r"(\d+) duplicates left out", told)
        assert duplicates is not None
        assert int(duplicates[1]) >= SHARED - 2
    assert files_of(tmp_path / "away.zarr") == files_of(tmp_path / "disk.zarr")
    merged, plain = open_dataset(tmp_path / "away.zarr"), open_dataset(tmp_path / "plain.zarr")
    assert merged.text("structure_hash") == plain.text("structure_hash")
    assert len(merged.text("structure_hash")) > 1150

    for sides in (("train", "test"), ("train", "train")):
        found = [
            numbers(audit(locate(str(a)), locate(str(b)), train=sides[0], test=sides[1]))
            for a, b in ((groups.one_on_s3, groups.two_on_the_web), (one, two), (groups.one, groups.two))
        ]
        assert found[0] == found[1] == found[2]
        exact = found[0][0][2]
        assert exact == 0 if sides[0] != sides[1] else exact > SHARED / 2

    said("publish", tmp_path / "away.zarr", f"{groups.bucket}/both.zarr", "--name", "Both", "--yes")
    said("publish", tmp_path / "away.zarr", groups.web.folder / "both.zarr", "--name", "Both", "--yes")
    places = {
        "disk": groups.web.folder / "both.zarr",
        "web": f"{groups.web.url}/both.zarr",
        "s3": f"{groups.bucket}/both.zarr",
    }
    for input_ in ("patterns", "sticks"):
        results = [trained(place, input_, tmp_path / f"{name}_{input_}") for name, place in places.items()]
        assert {"loss_total", "validation_loss"} <= {line.split(",")[2] for line in results[0][0]}
        assert results[0][0] == results[1][0] == results[2][0]
        for weights in (results[1][1], results[2][1]):
            assert weights.keys() == results[0][1].keys()
            assert all(torch.equal(weights[name], value) for name, value in results[0][1].items())


def numbers(overlaps: tuple[Overlap, Overlap]) -> list[tuple[object, ...]]:
    """All that an audit counts, without the datasets' names."""
    return [(o.n_train, o.n_test, o.exact, o.near, o.group, o.how_near) for o in overlaps]


def trained(dataset: object, input_: str, out: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    """Every number of an epoch's log but those of speed, and the weights after it."""
    command = ("fit", "alphadiffract", dataset, "--out", out, "--input", input_, "--epochs", 1, "--samples", 1)
    code, told = trainer(*command, "--device", "cpu", "--deterministic", "--seed", 5, *SMALL)
    assert code == 0, told
    log = [line for line in (out / "log.csv").read_text().splitlines() if not re.search("_per_second|waiting", line)]
    return log, torch.load(out / "last.pt", weights_only=True)["model"]
