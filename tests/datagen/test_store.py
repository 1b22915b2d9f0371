from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import xarray
import zarr

from datagen.errors import StoreError
from datagen.simulate.augmentation import AugmentationSettings
from datagen.steps.layout import extra_draws
from datagen.store import ledger, reading, schema, zarr_store
from datagen.store.schema import Layout
from datagen.store.shard_writer import PARTIAL, ShardWriter
from tests.datagen import datasets

EXTRAS = extra_draws(AugmentationSettings(preset="realistic"))
FULL = {"extra_draws": EXTRAS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Layout]:
    path = tmp_path_factory.mktemp("with a space") / "data set"
    return path, datasets.make(path, **FULL)


def test_the_layout_is_read_back_with_what_it_draws(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    assert len(layout.extra_draws) == 11
    assert reading.read_layout(path) == layout


def files_of(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_xarray_opens_it_labelled_described_and_with_units(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    with xarray.open_zarr(path) as dataset:
        assert set(dataset.variables) == {v.name for v in schema.variables(layout)}
        for variable in schema.variables(layout):
            found = dataset[variable.name]
            assert found.dims == variable.dims
            assert found.attrs["long_name"] == variable.long_name
            assert found.attrs.get("units") == variable.units
        np.testing.assert_array_equal(dataset.two_theta, datasets.TWO_THETA)
        assert dataset.attrs["complete"] is True
        assert dataset.attrs["format_version"] == schema.FORMAT_VERSION


def test_xarray_sees_relative_intensity_within_2_to_the_minus_13(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    with xarray.open_zarr(path) as dataset:
        for row in range(layout.n_structures):
            expected = datasets.intensity_of(row)
            relative = expected / expected.max(axis=1, keepdims=True)
            assert np.abs(dataset.pattern[row].values - relative).max() <= 2.0**-13
            np.testing.assert_array_equal(dataset.pattern_max[row], expected.max(axis=1))


def test_every_value_comes_back_through_zarr(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    group = reading.open_group(path)
    for row in range(layout.n_structures):
        values = datasets.values_of(row, layout)
        for name, value in values.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            if name.startswith("reflection_"):
                shard = row // layout.structures_per_shard
                first = int(np.asarray(group["n_reflections"][layout.rows(shard).start : row]).sum())
                found = np.asarray(array[shard, first : first + len(value)])
            else:
                found = np.asarray(array[row])
            np.testing.assert_array_equal(found, value.astype(array.dtype), err_msg=name)
        assert group["n_reflections"][row] == len(values["reflection_d"])
        assert group["has_density"][row] == ("density" in values)


def test_format_1_is_written_and_read_in_padded_rows(tmp_path: Path) -> None:
    layout = datasets.make(tmp_path, **datasets.FORMAT_1)
    assert reading.read_attributes(tmp_path)["format_version"] == 1
    assert reading.read_layout(tmp_path) == layout
    group = reading.open_group(tmp_path)
    for row in range(layout.n_structures):
        values = datasets.values_of(row, layout)
        for name, value in values.items():
            stored = np.asarray(group[name][row])  # type: ignore[index]
            found = stored[: len(value)] if name.startswith(("reflection_", "member_")) else stored
            np.testing.assert_array_equal(found, value.astype(stored.dtype), err_msg=name)
        assert group["n_reflections"][row] == len(values["reflection_two_theta"])
        assert group["n_members"][row] == len(values["member_intensity"])


def test_a_dataset_of_reflections_alone_has_no_array_of_patterns(tmp_path: Path) -> None:
    layout = datasets.make(tmp_path, n_augmentations=0, draws=())
    group = reading.open_group(tmp_path)
    per_pattern = {"pattern", "pattern_max", "augmentation", "microstrain", "overlap"}
    assert not per_pattern & set(group.array_keys())
    assert layout == reading.read_layout(tmp_path)
    assert group["n_reflections"][3] == len(datasets.values_of(3, layout)["reflection_d"])


def test_tensorstore_reads_the_same_numbers(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    group = reading.open_group(path)
    for variable in schema.variables(layout):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/{variable.name}/"}}
        other = tensorstore.open(spec, read=True).result().read().result()
        np.testing.assert_array_equal(other, np.asarray(group[variable.name][...]), err_msg=variable.name)


def test_only_core_codecs_and_types_are_used(finished: tuple[Path, Layout]) -> None:
    path, layout = finished

    def names(chain: list[dict[str, object]]) -> set[str]:
        found = set()
        for codec in chain:
            found.add(str(codec["name"]))
            configuration = codec.get("configuration", {})
            assert isinstance(configuration, dict)
            found |= names(configuration.get("codecs", [])) | names(configuration.get("index_codecs", []))
        return found

    core = {"bool", "uint8", "uint16", "int8", "int16", "int32", "float32", "float64"}
    for variable in schema.variables(layout):
        metadata = json.loads((path / variable.name / "zarr.json").read_bytes())
        assert names(metadata["codecs"]) <= {"bytes", "blosc", "crc32c", "sharding_indexed"}
        assert metadata["data_type"] in core


def test_zarr_itself_would_write_the_same_metadata(finished: tuple[Path, Layout], tmp_path: Path) -> None:
    path, layout = finished
    for variable in schema.variables(layout):
        array = zarr.open_array(path / variable.name, mode="r")
        ours = json.loads((path / variable.name / "zarr.json").read_bytes())
        theirs = array.metadata.to_dict()
        for entry in ("shape", "fill_value", "dimension_names", "attributes", "data_type"):
            if ours[entry] == "NaN":
                assert np.isnan(array.fill_value)
            else:
                assert json.loads(json.dumps(theirs[entry], default=str)) == ours[entry], (variable.name, entry)


def test_text_is_readable_as_strings(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    labels = datasets.labels_of(layout.n_structures)
    with reading.open_xarray(path) as dataset:
        assert dataset.source_id.values.tolist() == labels["source_id"]
        assert dataset.formula.values.tolist() == labels["formula"]


def test_a_missing_density_takes_no_space(tmp_path: Path) -> None:
    layout = datasets.layout_of(4, structures_per_shard=2)
    datasets.create(tmp_path, layout)
    with ShardWriter(tmp_path, layout, 0) as writer:
        for row in (0, 2):  # rows without a density
            writer.add(datasets.values_of(row, layout))
        receipt = writer.commit("key")
    assert receipt.n_densities == 0
    assert [name for name in receipt.files if "density" in name] == ["density_reason/c/0"]
    assert not (tmp_path / "density" / "c").exists()
    with xarray.open_zarr(tmp_path) as dataset:
        assert not dataset.has_density.values[:2].any()
        assert np.isnan(dataset.density[0].values).all()


def test_what_is_not_written_reads_as_nan_never_as_data(tmp_path: Path) -> None:
    layout = datasets.layout_of(8)
    datasets.create(tmp_path, layout)
    datasets.write_shard(tmp_path, layout, 1)
    with xarray.open_zarr(tmp_path) as dataset:
        assert dataset.attrs["complete"] is False
        for name in ("pattern", "pattern_max", "microstrain", "xrd_peaks"):
            assert np.isnan(dataset[name].values[:4]).all(), name
        assert np.isnan(dataset.reflection_d.values[0]).all()
        assert not np.isnan(dataset.reflection_d.values[1, :8]).any()
        assert not np.isnan(dataset.pattern.values[4:]).any()
    assert list(ledger.committed(tmp_path)) == [1]


def test_equal_content_gives_equal_bytes_in_any_order(finished: tuple[Path, Layout], tmp_path: Path) -> None:
    path, layout = finished
    datasets.create(tmp_path / "again", layout)
    for shard in reversed(range(layout.n_shards)):
        datasets.write_shard(tmp_path / "again", layout, shard)
    zarr_store.finalise(tmp_path / "again", {})
    assert files_of(tmp_path / "again") == files_of(path)


def test_a_shard_abandoned_halfway_leaves_nothing(tmp_path: Path) -> None:
    layout = datasets.layout_of(8)
    datasets.create(tmp_path, layout)
    before = files_of(tmp_path)
    with ShardWriter(tmp_path, layout, 0) as writer:
        writer.add(datasets.values_of(0, layout))
        assert files_of(tmp_path) != before
    assert files_of(tmp_path) == before


def test_files_in_place_without_a_receipt_are_replaced(tmp_path: Path) -> None:
    """What a kill between the renames and the receipt leaves."""
    layout = datasets.layout_of(8)
    datasets.create(tmp_path, layout)
    good = files_of(tmp_path) | {}
    receipt = datasets.write_shard(tmp_path, layout, 0)
    good = files_of(tmp_path)
    ledger.revoke(tmp_path, 0)
    for name in list(receipt.files)[:3]:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / PARTIAL / "00000-old").mkdir(parents=True)
    assert datasets.write_shard(tmp_path, layout, 0) == receipt
    shutil.rmtree(tmp_path / PARTIAL)
    assert files_of(tmp_path) == good


def test_doing_a_shard_twice_changes_nothing(finished: tuple[Path, Layout]) -> None:
    path, layout = finished
    before = files_of(path)
    datasets.write_shard(path, layout, 1)
    shutil.rmtree(path / PARTIAL, ignore_errors=True)
    assert files_of(path) == before


def test_a_shard_that_comes_out_differently_the_second_time_is_an_error(tmp_path: Path) -> None:
    layout = datasets.layout_of(4)
    datasets.create(tmp_path, layout)
    datasets.write_shard(tmp_path, layout, 0)
    with ShardWriter(tmp_path, layout, 0) as writer:
        for row in (0, 1, 2, 2):
            writer.add(datasets.values_of(row, layout))
        with pytest.raises(StoreError, match="came out differently"):
            writer.commit("key")


def test_a_shard_of_another_key_replaces_the_old_one(tmp_path: Path) -> None:
    layout = datasets.layout_of(4)
    datasets.create(tmp_path, layout)
    datasets.write_shard(tmp_path, layout, 0, key="old")
    with ShardWriter(tmp_path, layout, 0) as writer:
        for row in (0, 2, 0, 2):  # no density now
            writer.add(datasets.values_of(row, layout))
        receipt = writer.commit("new")
    assert ledger.read(tmp_path, 0) == receipt
    assert not (tmp_path / "density" / "c" / "0" / "0" / "0" / "0").exists()


def test_a_quarantine_shrinks_the_frame_and_keeps_the_shards(tmp_path: Path) -> None:
    layout = datasets.layout_of(10)
    datasets.create(tmp_path, layout)
    first = datasets.write_shard(tmp_path, layout, 0)
    datasets.write_shard(tmp_path, layout, 2)
    smaller = datasets.layout_of(8)
    datasets.create(tmp_path, smaller)
    datasets.write_shard(tmp_path, smaller, 1)
    zarr_store.finalise(tmp_path, {})
    assert sorted(ledger.committed(tmp_path)) == [0, 1]
    assert ledger.read(tmp_path, 0) == first
    datasets.make(tmp_path / "undisturbed", 8)
    undisturbed = files_of(tmp_path / "undisturbed")
    shutil.rmtree(tmp_path / "undisturbed")
    assert files_of(tmp_path) == undisturbed


def test_shards_under_another_shape_are_refused(tmp_path: Path) -> None:
    layout = datasets.layout_of(8)
    datasets.create(tmp_path, layout)
    datasets.write_shard(tmp_path, layout, 0)
    with pytest.raises(StoreError, match="another structures_per_shard"):
        datasets.create(tmp_path, datasets.layout_of(8, structures_per_shard=2))


def test_finishing_counts_the_receipts_against_the_plan(tmp_path: Path) -> None:
    layout = datasets.layout_of(10)
    datasets.create(tmp_path, layout)
    for shard in (0, 2):
        datasets.write_shard(tmp_path, layout, shard)
    with pytest.raises(StoreError, match=r"1 of 3 shards are not committed \(the first is 1\)"):
        zarr_store.finalise(tmp_path, {})
    datasets.write_shard(tmp_path, layout, 1)
    with pytest.raises(StoreError, match="expected key other"):
        zarr_store.finalise(tmp_path, {}, keys=["key", "other", "key"])
    zarr_store.finalise(tmp_path, {"agreement": 1.0}, keys=["key"] * 3)
    assert reading.read_attributes(tmp_path)["agreement"] == 1.0


def test_finishing_refuses_a_damaged_shard(tmp_path: Path) -> None:
    layout = datasets.layout_of(4)
    datasets.create(tmp_path, layout)
    receipt = datasets.write_shard(tmp_path, layout, 0)
    (tmp_path / next(iter(receipt.files))).write_bytes(b"")
    with pytest.raises(StoreError, match="found 0 bytes"):
        zarr_store.finalise(tmp_path, {})


def test_every_file_is_covered_by_a_checksum(finished: tuple[Path, Layout]) -> None:
    path, _ = finished
    frame = ledger.read_frame(path)
    receipts = ledger.committed(path)
    named = ledger.named_files(receipts.values(), frame)
    assert named == {name for name in files_of(path) if not name.startswith("ledger/")}
    assert frame is not None
    assert not ledger.damages(path, frame)
    assert not [d for r in receipts.values() for d in ledger.damages(path, r.files)]


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damage_is_found(tmp_path: Path, harm: str) -> None:
    layout = datasets.layout_of(4)
    datasets.create(tmp_path, layout)
    receipt = datasets.write_shard(tmp_path, layout, 0)
    name = schema.chunk_key(next(v for v in schema.variables(layout) if v.name == "pattern"), 0)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "remove":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content if harm == "flip" else content[:-1])
    assert [d.path for d in ledger.damages(tmp_path, receipt.files)] == [name]


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    datasets.make(tmp_path, 2)
    content = json.loads((tmp_path / "zarr.json").read_bytes())
    content["attributes"]["format_version"] = 99
    (tmp_path / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="expected format version 1 or 2, found 99"):
        reading.open_group(tmp_path)


def test_what_is_not_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no dataset here"):
        reading.open_group(tmp_path)
    zarr.create_group(tmp_path / "other")
    with pytest.raises(StoreError, match="expected a dataset of format"):
        reading.open_group(tmp_path / "other")
    with pytest.raises(StoreError, match="expected a dataset of format"):
        datasets.create(tmp_path / "other", datasets.layout_of(2))


def test_wrong_values_are_refused_before_anything_is_committed(tmp_path: Path) -> None:
    layout = datasets.layout_of(4)
    datasets.create(tmp_path, layout)
    values = datasets.values_of(0, layout)
    cases = {
        "no values for pattern_max": {k: v for k, v in values.items() if k != "pattern_max"},
        "no variable nonsense": {**values, "nonsense": np.zeros(1)},
        "expected an array of shape": {**values, "microstrain": np.zeros(2)},
        "expected uint16": {**values, "pattern": values["pattern"].astype(float)},
        "no values for density_electrons": {
            **values,
            "density": np.zeros((50, 50, 50), np.float32),
            "density_reason": np.asarray(0),
        },
        "a density and a reason": {**values, "density": np.zeros((50, 50, 50), np.float32)},
    }
    for message, wrong in cases.items():
        with pytest.raises(ValueError, match=message), ShardWriter(tmp_path, layout, 0) as writer:
            writer.add(wrong)
    with pytest.raises(ValueError, match="0 of 4 structures"), ShardWriter(tmp_path, layout, 0) as writer:
        writer.commit("key")
    n = schema.RUN_CHUNK
    many = {"reflection_d": np.ones(n), "reflection_f2": np.ones(n), "reflection_hkl": np.ones((n, 3), np.int16)}
    with ShardWriter(tmp_path, layout, 0) as writer:
        for _ in layout.rows(0):
            writer.add({**values, **many})
        with pytest.raises(StoreError, match=r"262144 entries do not fit the 65536 of reflection_d"):
            writer.commit("key")


def test_a_read_only_place_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datagen.store.files.write_bytes", refuse)
    with pytest.raises(StoreError, match=r"No space left on device.*free disk space"):
        datasets.create(tmp_path, datasets.layout_of(2))
