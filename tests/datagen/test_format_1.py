"""Datasets of format 1 are still read, checked and copied: one is written in the old layout beside a new one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.crystal import Crystal
from datagen.errors import StoreError
from datagen.inspect.replay import replay
from datagen.inspect.verify import verify
from datagen.share.compose import labels_of
from datagen.share.finished import open_finished
from datagen.share.merge import merge
from datagen.share.row_reader import RowReader
from datagen.share.subset import Selection, subset
from datagen.simulate.instrument import Instrument
from datagen.simulate.sticks import Sticks, compute_sticks
from datagen.store import ledger, reading, schema, zarr_store
from datagen.store.shard_writer import ShardWriter
from tests.datagen.small_runs import config_of, lines_of, make, write_cifs
from trainer.data.read_flat_sticks import read_flat_sticks
from trainer.data.store import open_dataset

INSTRUMENT = {"base": "alphadiffract", "n_points": 256}
TEXTURED = {"preset": "realistic", "count": 2}


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    cifs = write_cifs(folder / "cifs", ["halite", "quartz", "silicon", "aragonite"])
    simulation = {"instrument": INSTRUMENT, "augmentation": TEXTURED}
    make(config_of(cifs, simulation=simulation), folder / "new.zarr")
    return folder / "new.zarr"


def sticks_of(dataset: Path) -> dict[int, Sticks]:
    instrument = Instrument.model_validate(reading.read_attributes(dataset)["instrument"])
    lines = [line for line in lines_of(dataset).values() if line["row"] is not None]
    return {line["row"]: compute_sticks(Crystal.from_json(line["structure"]), instrument) for line in lines}


@pytest.fixture(scope="module")
def old(new: Path) -> Path:
    """The same dataset as version 1 wrote it."""
    out = new.with_name("old.zarr")
    source, sticks = open_finished(new), sticks_of(new)
    layout = replace(source.layout, format_version=1, reflection_slots=2000, member_slots=3000, with_members=True)
    attributes = {name: value for name, value in source.attributes.items() if name != "reflections"}
    attributes["configuration"] = {**attributes["configuration"], "format_version": 1}
    for name in ("patterns", "d_min_A"):
        attributes["configuration"]["store"] = {
            key: value for key, value in attributes["configuration"]["store"].items() if key != name
        }
    labels = labels_of([source], [(0, row) for row in range(layout.n_structures)])
    zarr_store.create(out, layout, labels, source.column("two_theta"), attributes)
    of_new = {"reflection_d", "reflection_f2", "reflection_hkl", "rotations"}
    reader = RowReader(source, source.layout)
    for shard in range(layout.n_shards):
        with ShardWriter(out, layout, shard) as writer:
            for row in layout.rows(shard):
                found = sticks[row]
                values = {name: value for name, value in reader.values(row).items() if name not in of_new}
                values |= {
                    "reflection_two_theta": found.two_theta_deg,
                    "reflection_intensity": found.intensity,
                    "reflection_members": np.diff(found.member_start),
                    "member_hkl": found.member_hkl,
                    "member_intensity": found.member_intensity,
                    "reciprocal_metric": found.reciprocal_metric,
                }
                writer.add(values)
            writer.commit(f"key {shard}")
    shutil.copy(new / "curation.parquet", out)
    frame = ledger.read_frame(out) or {}
    entry = ledger.entry_of((out / "curation.parquet").read_bytes())
    ledger.write_frame(out, {**frame, "curation.parquet": entry})
    zarr_store.finalise(out, {})
    return out


def test_the_tools_work_on_format_1(old: Path, tmp_path: Path) -> None:
    assert "format_version" not in reading.read_attributes(old)["layout"]
    assert verify(old, sample=4).regenerated == 4
    assert replay(old, "quartz.cif", 1).difference_steps == 0
    assert subset(old, tmp_path / "part.zarr", Selection(where="space_group > 200")) == 2
    assert reading.read_attributes(tmp_path / "part.zarr")["format_version"] == 1
    assert schema.variables(reading.read_layout(tmp_path / "part.zarr"))[0].name == "two_theta"
    verify(tmp_path / "part.zarr", sample=2)


def test_formats_are_not_merged(old: Path, new: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="format_version: 1 and 2"):
        merge([old, new], tmp_path / "both.zarr")


def test_the_trainer_reads_the_same_from_both_forms(old: Path, new: Path) -> None:
    before, now, exact = open_dataset(old), open_dataset(new), sticks_of(new)
    for row in range(4):
        a, b = before.sticks(row), now.sticks(row)
        np.testing.assert_array_equal(a.two_theta_deg, exact[row].two_theta_deg)
        np.testing.assert_array_equal(a.intensity, exact[row].intensity)
        np.testing.assert_allclose(b.two_theta_deg, a.two_theta_deg, atol=2e-5)
        np.testing.assert_allclose(b.intensity, a.intensity, rtol=1e-6, atol=1e-7 * a.intensity.max())
        assert a.members is not None
        assert b.members is not None
    flat_a, flat_b = (read_flat_sticks(dataset, dataset.rows()) for dataset in (before, now))
    # The new form is not cut off at low angles.
    high = flat_a.q.min().item() * 0.999
    kept_b = flat_b.q > high
    np.testing.assert_allclose(flat_b.q[kept_b], flat_a.q, rtol=1e-6)
    assert len(flat_b) == len(flat_a) == 4
