"""Uncertainties against the paper's equations written out sample by sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trainer.evaluation.metrics import Z_975, Accuracy, Regression, plain, t_975
from trainer.evaluation.sums import AccuracySums, ByStructure, GraphDistanceSums, RegressionSums, Structures

RNG = np.random.default_rng(0)
STRUCTURE = np.repeat([11, 5, 9], 4)
NAMES = {0: "x", 1: "y", 2: "z"}


BATCHES = ((0, 3), (3, 6), (6, 12))
"""Cuts that leave two structures open at the end of a batch."""


def accuracy(p: np.ndarray, truth: np.ndarray, structure: np.ndarray, majority: int, names: dict[int, str]) -> Accuracy:
    sums, by_structure = AccuracySums(3), ByStructure()
    for first, last in BATCHES:
        _, correct = sums.add(p[:, first:last], truth[first:last])
        sums.add_structures(by_structure.add(structure[first:last], correct[:, None].astype(float)).mean[:, 0])
    sums.add_structures(by_structure.finish(1).mean[:, 0])
    return sums.result(majority, names)


def regression(prediction: np.ndarray, truth: np.ndarray, structure: np.ndarray, train_mean: float) -> Regression:
    sums, by_structure = RegressionSums(np.array([train_mean])), ByStructure()

    def close(found: Structures) -> None:
        variance = found.mean[:, 2] + found.squares[:, 1] / np.maximum(found.count - 1, 1)
        sums.add_structures(found.mean[:, :1], found.mean[:, 1:2], variance[:, None])

    models = prediction.var(axis=0, ddof=1) if len(prediction) > 1 else np.zeros_like(truth)
    columns = np.stack([truth, prediction.mean(axis=0), models], axis=1)
    for first, last in BATCHES:
        if len(structure[first:last]):
            close(by_structure.add(structure[first:last], columns[first:last]))
    close(by_structure.finish(3))
    return sums.result(0)


def probabilities(models: int = 3) -> np.ndarray:
    p = RNG.random((models, 12, 3))
    return p / p.sum(axis=2, keepdims=True)


def test_accuracy_its_baseline_and_its_margin() -> None:
    p = np.eye(3)[[0, 1, 2, 0, 0, 0, 1, 1, 2, 2, 2, 0]][None]
    truth = np.array([0, 1, 2, 1, 0, 0, 1, 0, 2, 2, 0, 0])
    found = accuracy(p, truth, STRUCTURE, majority=0, names=NAMES)
    assert found.accuracy == pytest.approx(9 / 12)
    assert found.majority_baseline == pytest.approx(6 / 12)
    assert found.margin == pytest.approx(3 / 12)
    assert found.per_class == pytest.approx({"x": 4 / 6, "y": 2 / 3, "z": 1.0})
    assert found.ensemble_half_width is None


def test_equation_7_is_the_delta_method_over_samples() -> None:
    p, truth = probabilities(), RNG.integers(0, 3, 12)
    found = accuracy(p, truth, STRUCTURE, 0, NAMES)
    chosen = p.mean(axis=0).argmax(axis=1)
    total = sum(np.std([p[m, i, chosen[i]] for m in range(3)], ddof=1) ** 2 for i in range(12))
    assert found.ensemble_half_width == pytest.approx(1.96 * math.sqrt(total) / 12, rel=1e-4)


def test_equations_8_and_9_are_a_t_interval_over_structures() -> None:
    p, truth = probabilities(), RNG.integers(0, 3, 12)
    found = accuracy(p, truth, STRUCTURE, 0, NAMES)
    correct = p.mean(axis=0).argmax(axis=1) == truth
    fractions = [correct[s == STRUCTURE].mean() for s in (5, 9, 11)]
    wanted = stats.t.ppf(0.975, 2) * np.std(fractions, ddof=1) / math.sqrt(3)
    assert found.augmentation_half_width == pytest.approx(wanted)
    assert found.half_width == pytest.approx(math.hypot(wanted, found.ensemble_half_width or 0))


def test_one_pattern_a_structure_has_no_augmentation_uncertainty() -> None:
    found = accuracy(probabilities(1), RNG.integers(0, 3, 12), np.arange(12), 0, NAMES)
    assert (found.ensemble_half_width, found.augmentation_half_width, found.half_width) == (None, None, None)


def test_equations_10_to_13() -> None:
    truth = np.repeat([3.0, 5.0, 9.0], 4)
    order = {11: 3.0, 5: 5.0, 9: 9.0}
    prediction = truth + RNG.normal(scale=0.5, size=(4, 12))
    found = regression(prediction, truth, STRUCTURE, train_mean=6.0)

    structures = (5, 9, 11)
    y = np.array([order[s] for s in structures])
    mean = prediction.mean(axis=0)
    y_hat = np.array([mean[s == STRUCTURE].mean() for s in structures])
    sigma = np.array(
        [
            math.sqrt(
                np.mean([np.std(prediction[:, i], ddof=1) ** 2 for i in np.flatnonzero(s == STRUCTURE)])
                + np.std(mean[s == STRUCTURE], ddof=1) ** 2
            )
            for s in structures
        ]
    )
    spread = ((y - y.mean()) ** 2).sum()
    assert found.mae == pytest.approx(np.abs(y - y_hat).mean())
    assert found.mae_sigma == pytest.approx(np.sqrt((sigma**2).sum()) / 3)
    assert found.mape_percent == pytest.approx(100 * np.mean(np.abs(y - y_hat) / y))
    assert found.mape_sigma == pytest.approx(100 / 3 * np.sqrt(((sigma / y) ** 2).sum()))
    assert found.r2 == pytest.approx(1 - ((y - y_hat) ** 2).sum() / spread)
    assert found.r2_sigma == pytest.approx(np.sqrt(((2 * (y_hat - y) / spread * sigma) ** 2).sum()))
    assert found.mean_baseline_mae == pytest.approx(np.abs(y - 6).mean())


def test_a_parameter_that_never_varies_has_no_r2_and_json_says_null() -> None:
    found = regression(np.full((1, 4), 91.0), np.full(4, 90.0), np.arange(4), 90.0)
    assert math.isnan(found.r2)
    assert plain(found)["r2"] is None
    assert found.mae == 1.0


@pytest.mark.parametrize("freedom", [1, 2, 5, 30, 1000, 20_000])
def test_quantiles_of_students_t(freedom: int) -> None:
    assert t_975(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)
    assert pytest.approx(stats.norm.ppf(0.975)) == Z_975


def test_distances_between_space_groups_are_counted() -> None:
    predicted, truth = np.array([224, 220, 0, 224]), np.array([224, 224, 1, 2])
    sums = GraphDistanceSums()
    for i in range(4):
        sums.add(predicted[i : i + 1], truth[i : i + 1])
    found = sums.result()
    assert found["share"][:2] == [0.25, 0.5]
    assert found["cumulative"][-1] == 1.0


def test_samples_are_grouped_by_structure_wherever_a_batch_ends() -> None:
    values = RNG.normal(size=(12, 2))
    wanted = [values[s == STRUCTURE] for s in (11, 5, 9)]
    for cuts in ([4, 8], [1, 2, 9], [11], []):
        by_structure = ByStructure()
        batches = zip(np.split(STRUCTURE, cuts), np.split(values, cuts), strict=True)
        found = [by_structure.add(structure, part) for structure, part in batches]
        found.append(by_structure.finish(2))
        assert np.concatenate([part.count for part in found]).tolist() == [4, 4, 4]
        np.testing.assert_allclose(np.concatenate([part.mean for part in found]), [v.mean(axis=0) for v in wanted])
        squares = [((v - v.mean(axis=0)) ** 2).sum(axis=0) for v in wanted]
        np.testing.assert_allclose(np.concatenate([part.squares for part in found]), squares)
