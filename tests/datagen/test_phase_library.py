"""Second phases from a dataset that a configuration names: kept in the dataset, named by their content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datagen
from cluster.config import InlineProfile
from datagen.api import curate_catalogs
from datagen.config.config import DatagenConfig
from datagen.config.job import WORK, cached_job
from datagen.config.phases import library_of
from datagen.errors import ConfigError, PlanError, StoreError
from datagen.followup.extend import extend
from datagen.inspect.regenerate import StructureWithheldError, regenerate
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.progress import Silence
from datagen.share.facts import Naming
from datagen.share.finished import open_finished
from datagen.share.licences import Terms
from datagen.share.merge import merge
from datagen.share.publish import publish
from datagen.share.subset import Selection, subset
from datagen.simulate import phase_library
from datagen.simulate.phase_library import LIBRARY_FILE, library, load_library
from tests.datagen.small_runs import INSTRUMENT, config_of, make, write_cifs

MIXED = {"count": 3, "second_phases": [1, 3], "phase_fraction": [0.1, 0.2], "phase_library": "phases.zarr"}
NAMING = Naming("Mixtures", "1.0.0")


def mixed(cifs: Path, **augmentation: Any) -> DatagenConfig:
    return config_of(cifs, simulation={"instrument": INSTRUMENT, "augmentation": {**MIXED, **augmentation}})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of two phases, and a dataset of mixtures with them."""
    folder = tmp_path_factory.mktemp("library")
    phases = config_of(write_cifs(folder / "phases", ["halite", "copper"]), store={"patterns": "none"})
    make(phases, folder / "phases.zarr")
    make(mixed(write_cifs(folder / "cifs", ["quartz"])), folder / "mixed.zarr")
    return folder


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has loaded no library."""
    monkeypatch.setattr(phase_library, "_LOADED", {})


def name_of(dataset: Path) -> str:
    attributes = json.loads((dataset / "zarr.json").read_text())["attributes"]
    name: str = attributes["configuration"]["simulation"]["augmentation"]["phase_library"]
    return name


def test_the_dataset_keeps_the_library_and_names_it_by_its_content(place: Path) -> None:
    data = (place / "mixed.zarr" / LIBRARY_FILE).read_bytes()
    assert data == library_of(place / "phases.zarr")
    assert name_of(place / "mixed.zarr") == load_library(data)
    names = [json.loads(line)["name"] for line in data.decode().splitlines()]
    assert sorted(name.rsplit("-", 1)[0] for name in names) == ["Cu-225", "NaCl-225"]
    row = datagen.open_dataset(place / "mixed.zarr").isel(structure=0)
    assert row["phase_number"].attrs["flag_meanings"].split() == names
    present = row["phase_fraction"].values > 0
    assert set(row["phase_number"].values[present].tolist()) <= {0, 1}
    assert present.sum() >= 3
    assert (row["phase_number"].values[~present] == -1).all()
    assert verify(place / "mixed.zarr", sample=8).regenerated == 1


def test_a_folder_by_curate_gives_the_same_library(place: Path, tmp_path: Path) -> None:
    curate_catalogs(place / "phases", tmp_path / "table", processes=1, display=Silence())
    lines = [
        [json.loads(line)["structure"] for line in library_of(where).decode().splitlines()]
        for where in (tmp_path / "table", place / "phases.zarr")
    ]
    assert lines[0] == lines[1]


def test_patterns_are_made_again_from_the_dataset_alone(place: Path, tmp_path: Path, forgotten: None) -> None:
    """Without the dataset of the phases, in a process that has not seen it."""
    with pytest.raises(StoreError, match="of second phases is not at hand"):
        library(name_of(place / "mixed.zarr"))
    moved = shutil.copytree(place / "mixed.zarr", tmp_path / "moved.zarr")
    shutil.rmtree(moved / WORK)
    assert replay(moved, "quartz.cif", 2).difference_steps == 0
    # What lies there under the name of another library is refused.
    phase_library._LOADED.clear()
    lines = (moved / LIBRARY_FILE).read_text().splitlines(keepends=True)
    (moved / LIBRARY_FILE).write_text("".join(reversed(lines)))
    with pytest.raises(StoreError, match="expected the library"):
        regenerate(moved, 0, [0])
    with pytest.raises(StoreError, match=LIBRARY_FILE):
        verify(moved)


def test_workers_load_it_from_the_run(place: Path, forgotten: None) -> None:
    job = cached_job(place / "mixed.zarr", "a process of its own")
    assert len(library(job.simulation.augmentation.phase_library)) == 2


def test_derived_datasets_keep_it(place: Path, tmp_path: Path, forgotten: None) -> None:
    other = make(
        mixed(write_cifs(tmp_path / "more", ["fluorite"]), phase_library=str(place / "phases.zarr")),
        tmp_path / "b.zarr",
    )
    assert other.n_structures == 1
    merge([place / "mixed.zarr", tmp_path / "b.zarr"], tmp_path / "both.zarr", Silence())
    subset(tmp_path / "both.zarr", tmp_path / "less.zarr", Selection(patterns=2), Silence())
    phase_library._LOADED.clear()
    less = tmp_path / "less.zarr"
    assert verify(less, sample=8).regenerated == 2
    names = [draw.names for draw in open_finished(less).layout.extra_draws if draw.names]
    assert [len(each) for each in names] == [2]
    phase_library._LOADED.clear()
    datagen.render(
        less, tmp_path / "cu.zarr", instrument={**INSTRUMENT, "n_points": 128}, cluster="inline", display=Silence()
    )
    assert name_of(tmp_path / "cu.zarr") == name_of(place / "mixed.zarr")
    assert (tmp_path / "cu.zarr" / LIBRARY_FILE).read_bytes() == (place / "mixed.zarr" / LIBRARY_FILE).read_bytes()


def test_an_extension_needs_the_same_library(place: Path, tmp_path: Path) -> None:
    for name in ("phases.zarr", "mixed.zarr", "cifs"):
        shutil.copytree(place / name, tmp_path / name)
    write_cifs(tmp_path / "cifs", ["fluorite"])
    profile = InlineProfile(kind="inline")
    outcome = extend(mixed(tmp_path / "cifs"), tmp_path / "mixed.zarr", profile=profile, display=Silence())
    assert outcome.n_structures == 2
    assert (tmp_path / "mixed.zarr" / LIBRARY_FILE).read_bytes() == (place / "mixed.zarr" / LIBRARY_FILE).read_bytes()
    subset(tmp_path / "phases.zarr", tmp_path / "fewer.zarr", Selection(sample=1), Silence())
    with pytest.raises(PlanError, match=r"augmentation\.phase_library: was"):
        extend(mixed(tmp_path / "cifs", phase_library="fewer.zarr"), tmp_path / "mixed.zarr", profile=profile)


def test_a_publication_holds_the_library_unless_coordinates_are_withheld(
    place: Path, tmp_path: Path, forgotten: None
) -> None:
    publish(place / "mixed.zarr", tmp_path / "open.zarr", NAMING, Terms(), Silence())
    assert (tmp_path / "open.zarr" / LIBRARY_FILE).exists()
    for path in (tmp_path / "open.zarr").rglob("*.json*"):
        assert str(place) not in path.read_text(), path
    # Without coordinates of structures there are none of phases either; the patterns can still be read.
    publish(place / "mixed.zarr", tmp_path / "patterns.zarr", NAMING, Terms(profile="patterns"), Silence())
    assert not (tmp_path / "patterns.zarr" / LIBRARY_FILE).exists()
    phase_library._LOADED.clear()
    with pytest.raises(StructureWithheldError):
        regenerate(tmp_path / "patterns.zarr", 0, [0])
    assert np.asarray(datagen.open_dataset(tmp_path / "patterns.zarr")["pattern"][0, 0]).any()


def test_coordinates_of_restricted_phases_are_not_published(place: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (place / "mixed.zarr" / LIBRARY_FILE).read_text().splitlines()]
    closed = "".join(json.dumps(line | {"licence": "ICSD"}) + "\n" for line in lines).encode()
    config = mixed(place / "cifs", phase_library=load_library(closed))
    make(config, tmp_path / "closed.zarr")
    with pytest.raises(ConfigError, match="second phases under ICSD, which is not an open licence"):
        publish(tmp_path / "closed.zarr", tmp_path / "open.zarr", NAMING, Terms(restricted="leave-out"), Silence())
    publish(tmp_path / "closed.zarr", tmp_path / "redacted.zarr", NAMING, Terms(), Silence())
    assert not (tmp_path / "redacted.zarr" / LIBRARY_FILE).exists()
    publish(tmp_path / "closed.zarr", tmp_path / "open.zarr", NAMING, Terms(declared_open=("ICSD",)), Silence())
    assert (tmp_path / "open.zarr" / LIBRARY_FILE).read_bytes() == closed


def test_what_is_no_library_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"phase_library: .*none\.zarr has no curation\.parquet; expected bundled-1"):
        mixed(place / "cifs", phase_library="none.zarr")
    monkeypatch.setattr("datagen.config.phases.MOST_PHASES", 1)
    with pytest.raises(ConfigError, match=r"more than 1 accepted crystals; take some of them with datagen subset"):
        mixed(place / "cifs")
