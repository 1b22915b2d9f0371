from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from datagen.store.quantise import dequantise, quantise
from datagen.store.schema import PATTERN_FILL, PATTERN_STEP

POSITIVE = st.floats(min_value=0.0, max_value=2.0**80, allow_subnormal=False, width=32)


@settings(deadline=None)  # the first call compiles
@given(arrays(np.float32, (3, 17), elements=POSITIVE), st.floats(min_value=2.0**-80, max_value=2.0**80, width=32))
def test_the_error_is_at_most_half_a_step_of_the_maximum(rows: np.ndarray, extra: float) -> None:
    rows[:, 0] = extra  # some point is above zero
    stored, maxima = quantise(rows)
    relative = rows.astype(np.float64) / rows.max(axis=1, keepdims=True)
    assert np.abs(stored * PATTERN_STEP - relative).max() <= PATTERN_STEP / 2 * (1 + 1e-12)
    np.testing.assert_array_equal(maxima, rows.max(axis=1))
    np.testing.assert_array_equal(stored.max(axis=1), 1 / PATTERN_STEP)


def test_the_largest_number_is_not_the_fill_value_and_the_error_is_half_of_what_is_allowed() -> None:
    assert 1 / PATTERN_STEP < PATTERN_FILL
    assert PATTERN_STEP / 2 == 2.0**-14


def test_storing_again_what_was_read_changes_nothing() -> None:
    stored, _ = quantise(np.random.default_rng(0).random((4, 100)))
    again, maxima = quantise(dequantise(stored))
    np.testing.assert_array_equal(again, stored)
    np.testing.assert_array_equal(maxima, 1.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1e-9])
def test_what_is_no_pattern_is_refused(wrong: float) -> None:
    rows = np.ones((3, 5))
    rows[1, 2] = wrong
    with pytest.raises(ValueError, match="pattern 1 cannot be stored"):
        quantise(rows)
    with pytest.raises(ValueError, match="pattern 0 cannot be stored"):
        quantise(np.zeros((2, 5)))
