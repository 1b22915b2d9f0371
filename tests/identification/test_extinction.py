"""Extinction classes are the trainer's, and their probabilities sums over their space groups."""

from __future__ import annotations

import numpy as np
import pytest

from datagen.identification.extinction import extinction_classes, members, of_space_groups
from trainer.prediction.scoring.report import extinction_classes as of_trainer


def test_both_packages_have_the_same_classes() -> None:
    np.testing.assert_array_equal(extinction_classes() - 1, of_trainer())


def test_probabilities_are_sums_over_the_groups_of_a_class() -> None:
    groups = np.zeros(230)
    groups[[32, 61, 13]] = 0.3, 0.25, 0.45
    found = of_space_groups(groups)
    assert members(33) == (33, 62)
    assert list(found) == [33, 14]
    assert found == pytest.approx({33: 0.55, 14: 0.45})
