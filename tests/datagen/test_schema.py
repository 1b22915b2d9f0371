from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.labels import CRYSTAL_SYSTEMS
from datagen.simulate.augmentation import AugmentationSettings
from datagen.steps.layout import draws, extra_draws, known_draws
from datagen.store import schema
from datagen.store.schema import Layout

SPECIFICATION = Path(__file__).resolve().parents[2] / "docs" / "store-format.md"


def every_variable() -> tuple[schema.Variable, ...]:
    return (*schema.every_variable(), *(draw.variable() for draw in known_draws()))


@given(st.integers(1, 5000), st.integers(1, 300))
def test_shards_cut_the_rows_into_consecutive_parts(n: int, per_shard: int) -> None:
    layout = Layout(n, 2, 8, structures_per_shard=per_shard)
    rows = [row for shard in range(layout.n_shards) for row in layout.rows(shard)]
    assert rows == list(range(n))
    with pytest.raises(ValueError, match="does not exist"):
        layout.rows(layout.n_shards)


def test_a_layout_survives_being_written_down() -> None:
    extra = extra_draws(AugmentationSettings(march_r=(0.5, 1.0)))
    layout = Layout(3, 2, 8, text_bytes={"formula": 5}, density_method="crystalnet", draws=draws(), extra_draws=extra)
    plain = layout.to_dict()
    assert plain["extra_augmentations"] == ["march_r", "march_hkl"]
    assert Layout.from_dict(plain, (*draws(), *extra)) == layout


def test_a_layout_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected n_structures from 1 to 1,000,000,000, found 0"):
        Layout(0, 1, 1)


def test_one_shard_owns_its_files_of_every_variable() -> None:
    """Two tasks writing parts of one file would destroy each other's work: a file covers one shard, all of it."""
    layout = Layout(
        1000, 7, 64, structures_per_shard=48, shard_reflections=5000, density_method="fourier", draws=draws()
    )
    for variable in schema.variables(layout):
        if variable.home == "shard":
            whole, per_file = schema.shape(variable, layout), schema.file_shape(variable, layout)
            assert variable.dims[0] == ("shard" if variable.is_run else "structure")
            assert per_file == (1 if variable.is_run else 48, *whole[1:])
            assert len({schema.chunk_key(variable, s) for s in range(layout.n_shards)}) == layout.n_shards
            if variable.chunk is not None:
                assert variable.chunk[0] == 1
                assert all(n % c == 0 for n, c in zip(per_file, variable.chunk, strict=True))


def test_every_variable_is_described_once() -> None:
    found = every_variable()
    assert len({v.name for v in found}) == len(found)
    for variable in found:
        assert variable.long_name[0].isupper()
        assert not variable.long_name.endswith(".")
        numeric = not schema.is_text(variable) and not variable.attributes.get("flag_values")
        if numeric and variable.dtype != "bool" and variable.name != "space_group":
            assert variable.units, variable.name
        np.dtype(variable.dtype).type(variable.fill)


def test_quantities_that_are_missing_read_as_nan_or_as_impossible() -> None:
    for variable in every_variable():
        if variable.home == "shard" and np.dtype(variable.dtype).kind == "f":
            assert np.isnan(variable.fill), variable.name
    pattern = next(v for v in every_variable() if v.name == "pattern")
    assert pattern.fill == pattern.attributes["_FillValue"] > 1 / schema.PATTERN_STEP


def test_the_vocabulary_is_curations() -> None:
    system = next(v for v in schema.LABELS if v.name == "crystal_system")
    assert system.attributes["flag_meanings"].split() == list(CRYSTAL_SYSTEMS)


def test_the_specification_lists_every_variable_with_its_dimensions_type_and_units() -> None:
    rows = {
        found[1]: found
        for line in SPECIFICATION.read_text(encoding="utf-8").splitlines()
        if (found := re.match(r"\| `(\w+)` \| ([\w, ]+) \| (\w+) \| ([^|]*) \|", line))
    }
    for variable in every_variable():
        assert variable.name in rows, f"docs/store-format.md lacks {variable.name}"
        _, dims, dtype, units = rows[variable.name].groups()
        assert tuple(dims.split(", ")) == variable.dims
        assert dtype == variable.dtype
        assert units.strip() == (variable.units or "")
    assert set(rows) == {v.name for v in every_variable()}


def test_the_specification_is_of_this_version() -> None:
    text = SPECIFICATION.read_text(encoding="utf-8")
    assert f"Format version {schema.FORMAT_VERSION}." in text
    assert f"`clevel` {_codec('clevel')}" in text
    assert f"`blocksize` {_codec('blocksize')}" in text


def _codec(name: str) -> object:
    from datagen.store.shard_file import CODEC

    return CODEC[name]
