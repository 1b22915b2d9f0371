"""Evaluation of models on a dataset of measured patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.store import Dataset
from trainer.errors import TrainerError
from trainer.evaluation.models import ProgressReport
from trainer.prediction.api import AlphaDiffractPredictor, QMixerPredictor, TrainedModel, load, open_predictor
from trainer.prediction.scoring.answers import (
    Answers,
    Array,
    Truths,
    alphadiffract_inputs,
    ask_alphadiffract,
    ask_qmixer,
    in_order,
    qmixer_inputs,
    qmixer_of_simulated,
    simulated_patterns,
    truths_of,
)
from trainer.prediction.scoring.report import score


@dataclass(frozen=True, eq=False)
class ScanEvaluation:
    """Report of an evaluation, with the answers that it rests on."""

    report: dict[str, Any]
    answers: Answers
    truths: Truths
    names: dict[int, str]
    """Crystal systems from 0."""


def evaluate_scans(
    models: Sequence[str | Path],
    dataset: Dataset,
    *,
    split: str = "test",
    simulated: bool = False,
    trained_on: Dataset | None = None,
    calibrated: bool = True,
    lines: bool | None = None,
    device: str = "auto",
    progress: ProgressReport | None = None,
) -> ScanEvaluation:
    """Evaluate checkpoints of AlphaDiffract (an ensemble), or weights of QMixer, on measured scans.

    Without models the weights of the package are used. With `simulated` the same figures are computed of simulated
    patterns of the structures of these scans. `trained_on` is the training dataset of weights, which do not state their
    structures. The lines of the scans weigh the answers of QMixer unless `lines` is false. A scan that lacks a part of
    the models' range is not asked about and counted as `out_of_range`.
    """
    if not dataset.measured:
        raise TrainerError(f"{dataset.path}: expected a dataset of measured patterns, found simulated ones")
    rows = dataset.rows(split)
    if not len(rows):
        raise TrainerError(f"{dataset.path}: no scan in the split {split!r}; give another --split")
    loaded = [load(Path(model), device, calibrated=calibrated) for model in models]
    predictor = open_predictor(loaded or None, device=device, calibrated=calibrated, lines=lines)
    states = [entry.checkpoint for entry in loaded if isinstance(entry, TrainedModel)]
    truths = truths_of(dataset, rows, states, trained_on)
    names = {value - 1: name for value, name in dataset.vocabulary("crystal_system").items()}
    answers, answered = _ask(predictor, _inputs(predictor, dataset, rows), truths, progress, dataset)
    report = {
        "model": "qmixer" if isinstance(predictor, QMixerPredictor) else "alphadiffract",
        "models": max(len(loaded), 1),
        "dataset": str(dataset.path),
        "split": split,
        "out_of_range": len(truths) - len(answered),
        "measured": score(answers, answered, names),
    }
    if simulated:
        patterns = simulated_patterns(dataset, answered.rows)
        of_structures, both = _ask(predictor, _of_simulated(predictor, dataset, patterns), answered, None, dataset)
        shared = np.isin(answered.rows, both.rows)
        report["simulated"] = score(of_structures, both, names)
        report["measured_with_structure"] = score(answers.of(shared), answered.of(shared), names)
    return ScanEvaluation(report, answers, answered, names)


def _inputs(
    predictor: AlphaDiffractPredictor | QMixerPredictor, dataset: Dataset, rows: NDArray[np.int64]
) -> dict[int, Array]:
    if isinstance(predictor, QMixerPredictor):
        return qmixer_inputs(dataset, rows)
    return alphadiffract_inputs(dataset, rows, predictor.dataset)


def _of_simulated(
    predictor: AlphaDiffractPredictor | QMixerPredictor, dataset: Dataset, patterns: dict[int, Array]
) -> dict[int, Array]:
    if isinstance(predictor, QMixerPredictor):
        return qmixer_of_simulated(dataset, patterns)
    ends = predictor.dataset["two_theta_min_deg"], predictor.dataset["two_theta_max_deg"]
    angles = dataset.two_theta_deg
    if len(angles) != predictor.dataset["n_points"] or not np.allclose(angles[[0, -1]], ends):
        raise TrainerError(
            f"{dataset.path}: simulated patterns are for the instrument of the dataset; write the scans for that of "
            "the model: datagen measured SOURCE --out DATASET --instrument TRAINING_DATASET"
        )
    return patterns


def _ask(
    predictor: AlphaDiffractPredictor | QMixerPredictor,
    inputs: dict[int, Array],
    truths: Truths,
    progress: ProgressReport | None,
    dataset: Dataset,
) -> tuple[Answers, Truths]:
    if not inputs:
        raise TrainerError(f"{dataset.path}: no scan covers the range that the model needs")
    patterns, answered = in_order(inputs, truths)
    if isinstance(predictor, QMixerPredictor):
        return ask_qmixer(predictor.weights, patterns, progress, lines=predictor.lines), answered
    return ask_alphadiffract(predictor.models, patterns, predictor.device, progress), answered
