"""Figures of models on measured scans: accuracies, lattice errors, calibration, by set and by crystal system."""

from __future__ import annotations

import csv
import math
from functools import cache
from importlib.resources import files
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.metrics import LATTICE, Z_975, plain
from trainer.evaluation.sums import AccuracySums, GraphDistanceSums, RegressionSums
from trainer.models.alphadiffract import SPACE_GROUPS
from trainer.prediction.scoring.answers import Answers, Truths

Array = NDArray[np.float64]
TOP = (1, 5, 10)
BINS = 10
"""Of confidence, for the calibration error."""
USABLE = {"1_percent_1_deg": (0.01, 1.0), "5_percent_3_deg": (0.05, 3.0)}
"""Largest relative error of a length and largest error of an angle of a usable cell."""
MOST_SUBSETS = 20
"""Ensembles of each size that are averaged."""
CONFIDENT = (0.5, 0.7, 0.9)


@cache
def extinction_classes() -> NDArray[np.int64]:
    """Return the extinction class of each space group from 0: the first group with its lattice and absences.

    Groups of one class differ in nothing that absent reflections tell; in the hexagonal family the Laue class is not
    counted as known.
    """
    with files("trainer.evaluation").joinpath("space_groups.csv").open() as source:
        return np.array([int(row["extinction"]) - 1 for row in csv.DictReader(source)])


def score(answers: Answers, truths: Truths, names: dict[int, str]) -> dict[str, Any]:
    """Return all figures of these scans, and of parts of them: seen and unseen, each source, each crystal system."""
    found = figures(answers, truths)
    parts = {"seen": truths.seen == 1, "unseen": truths.seen == 0}
    sources = sorted(set(truths.source))
    if len(sources) > 1:
        parts |= {f"source {name}": np.array([s == name for s in truths.source]) for name in sources}
    by_part = {name: figures(answers.of(rows), truths.of(rows)) for name, rows in parts.items() if rows.any()}
    systems = {name: truths.crystal_system == number for number, name in names.items()}
    by_system = {name: figures(answers.of(rows), truths.of(rows)) for name, rows in systems.items() if rows.any()}
    ensemble = ensemble_sizes(answers, truths)
    result: dict[str, Any] = plain(
        {"all": found, "parts": by_part, "by_crystal_system": by_system, "ensemble_sizes": ensemble}
    )
    return result


def figures(answers: Answers, truths: Truths) -> dict[str, Any]:
    """Return the figures of one set of scans. A figure whose label no scan has is None."""
    systems, groups = truths.crystal_system >= 0, truths.space_group >= 0
    cells = np.isfinite(truths.niggli).all(axis=1)
    return {
        "scans": len(truths),
        "with_crystal_system": int(systems.sum()),
        "with_space_group": int(groups.sum()),
        "with_cell": int(cells.sum()),
        "crystal_system": _classes(answers.crystal_system[:, systems], truths.crystal_system[systems], (1,)),
        "space_group": _classes(answers.space_group[:, groups], truths.space_group[groups], TOP),
        "extinction": _extinction(answers.space_group[:, groups], truths.space_group[groups]),
        "graph_distance": _distance(answers.space_group[:, groups], truths.space_group[groups]),
        "cell": _cells(answers.lattice[:, cells], truths.niggli[cells]),
    }


def _classes(probability: Array, truth: NDArray[np.int64], tops: tuple[int, ...]) -> dict[str, Any] | None:
    """Return accuracies with half-widths, baselines and calibration of one classification."""
    n, classes = len(truth), probability.shape[2]
    if n == 0:
        return None
    sums = AccuracySums(classes)
    predicted, correct = sums.add(probability, truth)
    found = sums.result(int(np.bincount(truth).argmax()), {})
    mean = probability.mean(axis=0)
    order = np.argsort(-mean, axis=1)
    share = np.bincount(truth, minlength=classes) / n
    sampling = Z_975 * math.sqrt(max(found.accuracy * (1 - found.accuracy), 0.0) / n)
    confidence = mean[np.arange(n), predicted]
    of_truth = np.maximum(mean[np.arange(n), truth], 1e-12)
    return {
        "accuracy": found.accuracy,
        "half_width": math.hypot(sampling, found.ensemble_half_width or 0.0),
        "ensemble_half_width": found.ensemble_half_width,
        **{f"top{k}": float((order[:, :k] == truth[:, None]).any(axis=1).mean()) for k in tops if k > 1},
        "single_models": float((probability.argmax(axis=2) == truth).mean()),
        "majority": found.majority_baseline,
        "prior": float((share**2).sum()),
        "negative_log_likelihood": float(-np.log(of_truth).mean()),
        "calibration": calibration(confidence, correct),
        "confident": {
            f"{limit:g}": {"share": float(sure.mean()), "accuracy": float(correct[sure].mean()) if sure.any() else None}
            for limit in CONFIDENT
            for sure in (confidence >= limit,)
        },
    }


def calibration(confidence: Array, correct: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the expected calibration error over equal bins of confidence, and what each bin holds."""
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        here = which == number
        if here.any():
            bins.append(
                {
                    "from": number / BINS,
                    "scans": int(here.sum()),
                    "confidence": float(confidence[here].mean()),
                    "accuracy": float(correct[here].mean()),
                }
            )
    n = len(confidence)
    error = sum(b["scans"] / n * abs(b["confidence"] - b["accuracy"]) for b in bins)
    return {"error": float(error), "bins": bins}


def _extinction(probability: Array, truth: NDArray[np.int64]) -> dict[str, float] | None:
    """Return the accuracy of the extinction class, whose probability is the sum over its space groups."""
    if not len(truth):
        return None
    classes = extinction_classes()
    of_class = np.zeros((len(truth), SPACE_GROUPS))
    np.add.at(of_class.T, classes, probability.mean(axis=0).T)
    return {
        "accuracy": float((of_class.argmax(axis=1) == classes[truth]).mean()),
        "majority": float(np.bincount(classes[truth]).max() / len(truth)),
    }


def _distance(probability: Array, truth: NDArray[np.int64]) -> dict[str, list[float]] | None:
    if not len(truth):
        return None
    sums = GraphDistanceSums()
    sums.add(probability.mean(axis=0).argmax(axis=1), truth)
    return sums.result()


def _cells(lattice: Array, truth: Array) -> dict[str, Any] | None:
    """Return errors of the Niggli cells and the share of usable ones."""
    if not len(truth):
        return None
    predicted = lattice.mean(axis=0)
    variance = lattice.var(axis=0, ddof=1) if len(lattice) > 1 else np.zeros_like(predicted)
    sums = RegressionSums(truth.mean(axis=0))
    sums.add_structures(truth, predicted, variance)
    parameters = {name: sums.result(k) for k, name in enumerate(LATTICE)}
    lengths, angles = cell_errors(predicted, truth)
    names = ("mae", "mape_percent", "r2", "mean_baseline_mae")
    means = {
        kind: {name: float(np.mean([getattr(parameters[p], name) for p in part])) for name in names}
        for kind, part in (("lengths", LATTICE[:3]), ("angles", LATTICE[3:]))
    }
    return {
        "parameters": parameters,
        **means,
        "median_length_error": float(np.median(np.abs(predicted[:, :3] / truth[:, :3] - 1).mean(axis=1))),
        "usable": {
            name: float(((lengths <= length) & (angles <= angle)).any(axis=1).mean())
            for name, (length, angle) in USABLE.items()
        },
    }


def cell_errors(predicted: Array, truth: Array) -> tuple[Array, Array]:
    """Return the largest relative error of a length and error of an angle, for each of six orders of the edges."""
    lengths, angles = [], []
    for order in map(list, permutations(range(3))):
        turned = predicted[:, [*order, *(3 + i for i in order)]]
        lengths.append(np.abs(turned[:, :3] / truth[:, :3] - 1).max(axis=1))
        angles.append(np.abs(turned[:, 3:] - truth[:, 3:]).max(axis=1))
    return np.stack(lengths, axis=1), np.stack(angles, axis=1)


def ensemble_sizes(answers: Answers, truths: Truths) -> list[dict[str, Any]]:
    """Return the accuracies of smaller ensembles, averaged over at most `MOST_SUBSETS` of each size."""
    count = len(answers.space_group)
    if count < 2:
        return []
    rng = np.random.default_rng(0)
    found = []
    for size in range(1, count + 1):
        subsets = list(combinations(range(count), size)) if count <= 12 else []
        if not subsets or len(subsets) > MOST_SUBSETS:
            subsets = [tuple(rng.choice(count, size, replace=False).tolist()) for _ in range(MOST_SUBSETS)]
        found.append(
            {
                "models": size,
                "crystal_system": _mean_accuracy(answers.crystal_system, truths.crystal_system, subsets),
                "space_group": _mean_accuracy(answers.space_group, truths.space_group, subsets),
            }
        )
    return found


def _mean_accuracy(probability: Array, truth: NDArray[np.int64], subsets: list[tuple[int, ...]]) -> float | None:
    known = truth >= 0
    if not known.any():
        return None
    hits = [
        (probability[list(chosen)][:, known].mean(axis=0).argmax(axis=1) == truth[known]).mean() for chosen in subsets
    ]
    return float(np.mean(hits))
