from __future__ import annotations

import numpy as np
import pytest

from datagen.inspect import report_data
from datagen.inspect.report_data import Content
from datagen.store import reading
from tests.datagen.small_runs import Made


def test_columns_are_those_that_xarray_reads(made: Made) -> None:
    content = Content(made.dataset)
    with reading.open_xarray(made.dataset) as expected:
        for name in ("formula", "source_id", "space_group", "niggli", "has_density", "two_theta"):
            np.testing.assert_array_equal(content.column(name), expected[name].values)


def test_the_sample_is_everything_where_there_is_little(made: Made) -> None:
    content = Content(made.dataset)
    assert [row for rows in content.sampled() for row in rows] == list(range(5))
    np.testing.assert_array_equal(content.sample("U_cdeg2"), content.column("U_cdeg2").ravel())


def test_the_sample_is_of_the_middle_where_one_shard_must_do(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_data, "SHARDS_SAMPLED", 1)
    content = Content(made.dataset)
    assert content.sampled() == [range(2, 4)]
    np.testing.assert_array_equal(content.sample("U_cdeg2"), content.column("U_cdeg2")[2:4].ravel())


def test_few_patterns_of_a_row_are_read(made: Made) -> None:
    content = Content(made.dataset)
    np.testing.assert_array_equal(content.row("pattern", 3, 2), content.column("pattern")[3, :2])
