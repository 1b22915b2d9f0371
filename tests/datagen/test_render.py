"""Datasets of reflections alone, and the patterns that are rendered of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import DEFAULT, patch

import numpy as np
import pytest

import datagen
from cluster.config import InlineProfile
from datagen.errors import ConfigError, StoreError
from datagen.followup.render import configuration_of, render
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.progress import Silence
from datagen.share.diff import diff
from datagen.share.finished import open_finished
from datagen.share.merge import merge
from datagen.share.subset import Selection, subset
from datagen.steps.outcome import Outcome
from datagen.store import reading
from tests.datagen.small_runs import config_of, make, write_cifs
from trainer.data.read_flat_sticks import read_flat_sticks
from trainer.data.store import open_dataset
from trainer.errors import TrainerError

CU = {"base": "cu_kalpha", "n_points": 256}
NAMES = ["halite", "quartz", "silicon", "aragonite"]


@pytest.fixture(scope="module")
def cifs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cifs(tmp_path_factory.mktemp("render") / "cifs", NAMES)


@pytest.fixture(scope="module")
def sticks(cifs: Path) -> Path:
    out = cifs.parent / "sticks.zarr"
    store = {"structures_per_shard": 2, "patterns": "none", "d_min_A": 1.0}
    outcome = make(config_of(cifs, store=store), out)
    assert (outcome.n_structures, outcome.n_patterns) == (4, 0)
    return out


def rendered(source: Path, out: Path, *overrides: str, count: int = 3) -> Outcome:
    finished = open_finished(source)
    config = configuration_of(finished, {"instrument": CU, "augmentation": {"count": count}}, overrides)
    with patch.multiple("datagen.run", draw_report=DEFAULT, write_report=DEFAULT):
        return render(finished, config, out, profile=InlineProfile(kind="inline"), display=Silence())


def content_of(dataset: Path) -> dict[str, bytes]:
    files = (p for p in dataset.rglob("*") if p.is_file() and ".run" not in p.parts)
    return {p.relative_to(dataset).as_posix(): p.read_bytes() for p in files}


def test_rendered_patterns_are_those_of_a_direct_run_byte_for_byte(cifs: Path, sticks: Path, tmp_path: Path) -> None:
    make(config_of(cifs, simulation={"instrument": CU, "augmentation": {"count": 3}}), tmp_path / "direct.zarr")
    outcome = rendered(sticks, tmp_path / "rendered.zarr")
    assert outcome.n_patterns == 12
    assert content_of(tmp_path / "rendered.zarr") == content_of(tmp_path / "direct.zarr")
    again = rendered(sticks, tmp_path / "rendered.zarr")
    assert again.n_structures_now == 0
    with pytest.raises(StoreError, match="was begun by datagen run"):
        rendered(sticks, tmp_path / "direct.zarr")


def test_what_one_run_sets_aside_another_instrument_may_see(cifs: Path, tmp_path: Path) -> None:
    narrow = {"base": "alphadiffract", "two_theta_max_deg": 10.9, "n_points": 64}  # d above 3.26 A
    store = {"structures_per_shard": 2, "patterns": "none"}
    made = make(config_of(cifs, store=store, simulation={"instrument": narrow}), tmp_path / "narrow.zarr")
    assert made.n_structures == 2  # neither halite nor silicon
    assert rendered(tmp_path / "narrow.zarr", tmp_path / "wide.zarr").n_structures == 4


def test_the_tools_work_without_patterns(sticks: Path, tmp_path: Path) -> None:
    assert verify(sticks, sample=4).regenerated == 4
    found = replay(sticks, "quartz.cif", 0)
    assert found.different == ()
    assert int(found.facts["reflections"]) > 50
    with pytest.raises(StoreError, match="has reflections only"):
        replay(sticks, "quartz.cif", 1)
    subset(sticks, tmp_path / "a.zarr", Selection(where="space_group > 200"))
    subset(sticks, tmp_path / "b.zarr", Selection(where="space_group < 200"))
    merge([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "ab.zarr")
    assert verify(tmp_path / "ab.zarr", sample=4).regenerated == 4
    assert diff(sticks, tmp_path / "ab.zarr").n_common == 4
    assert rendered(tmp_path / "ab.zarr", tmp_path / "cu.zarr").n_structures == 4
    assert "rendered_from" in reading.read_attributes(tmp_path / "cu.zarr")


def test_a_merged_dataset_with_two_catalogs_of_one_name_is_rendered(sticks: Path, tmp_path: Path) -> None:
    more = config_of(write_cifs(tmp_path / "cifs", ["fluorite"]), store={"patterns": "none", "d_min_A": 1.0})
    make(more, tmp_path / "more.zarr")
    merge([sticks, tmp_path / "more.zarr"], tmp_path / "both.zarr")
    names = [catalog["name"] for catalog in open_finished(tmp_path / "both.zarr").configuration["catalog"]]
    assert names == ["cifs", "cifs"]
    assert rendered(tmp_path / "both.zarr", tmp_path / "cu.zarr").n_structures == 5


def test_the_trainer_reads_them_on_any_instrument(sticks: Path) -> None:
    dataset = open_dataset(sticks)
    assert not dataset.with_patterns
    flat = read_flat_sticks(dataset, dataset.rows())
    assert (flat.first.diff() > 5).all()
    assert np.isfinite(dataset.sticks(0).intensity).all()
    with pytest.raises(TrainerError, match="reflections only: datagen render makes patterns"):
        dataset.pattern(0)


def test_damage_of_a_reflection_is_found(sticks: Path, tmp_path: Path) -> None:
    shutil.copytree(sticks, tmp_path / "d.zarr")
    file = tmp_path / "d.zarr" / "reflection_f2" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-30] + bytes(30))
    with pytest.raises(StoreError, match="reflection_f2/c/0/0"):
        verify(tmp_path / "d.zarr")


def test_only_settings_of_patterns_can_be_overridden(sticks: Path) -> None:
    source = open_finished(sticks)
    assert configuration_of(source, {}, ["simulation.seed=3"]).simulation.seed == 3
    with pytest.raises(ConfigError, match=r"curation\.symprec.*are curated already"):
        configuration_of(source, {}, ["curation.symprec_A=0.1"])
    with pytest.raises(ConfigError, match="expected 'all', found 'none'"):
        configuration_of(source, {}, ["store.patterns=none"])
    assert callable(datagen.render)
